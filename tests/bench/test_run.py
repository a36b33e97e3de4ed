"""The page of results keeps what is not measured anew; a log that is rotated keeps what it should."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from growing_log import GrowingLog, sum_of
from run import PARTS, RESULTS, former, write

from exporter_process import parsed, total


def test_a_part_replaces_its_section_and_leaves_the_others(tmp_path: Path) -> None:
    path, titles = tmp_path / "RESULTS.md", [title for title, _ in PARTS.values()]
    write(path, {titles[3]: "old\n\n| a | b |", titles[0]: "first"})
    write(path, {**former(path), titles[3]: "new"})
    assert former(path) == {titles[0]: "first", titles[3]: "new"}
    assert path.read_text().startswith("# Results of the last `make bench`")


def test_the_committed_results_have_only_sections_of_parts() -> None:
    assert set(former(RESULTS)) <= {title for title, _ in PARTS.values()}


def test_a_rotated_log_keeps_the_newest_files(tmp_path: Path) -> None:
    with closing(GrowingLog(tmp_path / "log", 2)) as log:
        for i in range(4):
            log.write(b"%d\n" % i)
            log.rotate()
        log.write(b"4\n")
        assert (log.size, log.rotations) == (2, 4)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "log": "4\n",
        "log.1": "3\n",
        "log.2": "2\n",
    }


def test_the_cheap_sum_is_that_of_the_parser() -> None:
    page = (
        "# TYPE a_total counter\n"
        'a_total{version="v1",x="} 9"} 1.5\na_total{version="v2"} 2e+06\n'
        "# TYPE a_total_b counter\na_total_b 7\n"
    )
    assert sum_of(page, "a_total") == total(parsed(page), "a_total") == 2_000_001.5
    assert sum_of(page, "a_total_b") == 7
