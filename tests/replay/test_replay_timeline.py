"""Several finished files as one stream: in the order of writing, whatever their number and whatever their clocks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.inputs import Inputs
from mlcanary.judged_replay.timeline import Timeline
from mlcanary.line_order import written_at
from mlcanary.records import Label, Prediction
from mlcanary.settings import Flags, load_settings

NOW = 1_800_000_000.0


def read(folder: Path, files: list[list[dict[str, object]]], block_bytes: int = 1 << 18) -> list[tuple[float, str]]:
    """(when written, id) of every record, in the order of the timeline."""
    paths = []
    for number, rows in enumerate(files):
        paths.append(str(folder / f"{number}.jsonl"))
        Path(paths[-1]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Inputs(load_settings(Flags(log_paths=paths)), complete=True, columns=False, block_bytes=block_bytes)
    timeline = Timeline(source, NOW, lambda _lines, _done: None)
    found = [(written, str(record.id)) for written, record in timeline]
    source.close()
    assert timeline.lines == sum(map(len, files))
    return found


def prediction(number: int, ts: float | None) -> dict[str, object]:
    """A line of the log."""
    row: dict[str, object] = {"id": str(number), "score": 0.5}
    return row if ts is None else {**row, "ts": ts}


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=40), st.floats(0, 1e9))
def test_lines_never_get_younger_and_stay_inside_the_times(times: list[float], before: float) -> None:
    ages = written_at(np.array(times), before)
    assert (np.diff(ages) >= 0).all()
    assert ages.min() >= before
    assert ages.max() <= max(before, *times)


@given(st.lists(st.floats(0, 1e9), min_size=5, max_size=40))
def test_times_in_order_are_their_own_ages_but_at_the_ends(times: list[float]) -> None:
    ages = written_at(np.array(sorted(times)), 0.0)
    assert ages[2:-2].tolist() == sorted(times)[2:-2]


@given(
    st.lists(st.floats(0, 1e6), min_size=5, max_size=40),
    st.integers(0, 10**6),
    st.lists(st.sampled_from([0.0, 9e9]), min_size=2, max_size=2),
)
def test_two_wrong_clocks_in_a_row_do_not_move_the_others(times: list[float], place: int, wrong: list[float]) -> None:
    right = sorted(times)
    at = place % (len(right) + 1)
    ages = written_at(np.array([*right[:at], *wrong, *right[at:]]), 0.0)
    assert ages.max() <= right[-1]
    others = np.delete(ages, [at, at + 1])
    neighbours = [right[min(len(right) - 1, i + 4)] for i in range(len(right))]
    assert (others <= np.array(neighbours)).all()


def test_lines_without_a_time_have_that_of_the_line_above() -> None:
    nan = math.nan
    assert written_at(np.array([nan, 1.0, nan, nan, 2.0, nan]), -math.inf).tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert written_at(np.array([nan, nan]), 7.0).tolist() == [7.0, 7.0]
    assert written_at(np.array([nan, nan]), -math.inf).tolist() == [-math.inf, -math.inf]


@pytest.mark.parametrize("seed", range(4))
def test_any_files_come_out_in_order(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    times = np.sort(random.uniform(1e9, 1e9 + 3600, 3000))
    owners = random.integers(0, 5, len(times))
    if seed % 2:
        owners = np.sort(owners)  # files of successive days
    files = [[prediction(i, float(times[i])) for i in np.flatnonzero(owners == k).tolist()] for k in range(5)]
    found = read(tmp_path, files, block_bytes=4096)
    written = [at for at, _ in found]
    assert sorted(int(number) for _, number in found) == list(range(len(times)))
    assert written == sorted(written)
    own = np.array([times[int(number)] for _, number in found])
    assert (
        np.quantile(np.abs(own - np.array(written)), 0.9) == 0
    )  # lines at the ends of a block may wait for two others


def test_a_record_without_a_time_takes_that_of_its_line(tmp_path: Path) -> None:
    rows = [
        prediction(0, 1e9),
        {"kind": "label", "id": "0", "label": 1},
        *(prediction(i, 1e9 + i) for i in range(1, 9)),
    ]
    (tmp_path / "log").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Inputs(load_settings(Flags(log_paths=[str(tmp_path / "log")])), complete=True, columns=False)
    timeline = Timeline(source, NOW, lambda _lines, _done: None)
    records = [record for _, record in timeline]
    source.close()
    assert isinstance(records[0], Prediction)
    assert isinstance(records[1], Label)
    assert records[1].ts < 1e9 + 9
