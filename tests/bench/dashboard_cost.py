"""How long the panels of the dashboards take on a Prometheus that watches a fleet, and which of them stay empty.

Run as `python tests/bench/dashboard_cost.py [--models 300] [--for 5]`: lines of Markdown. A fleet of 2 versions and 30
features a model is written (see `fleet.py`); a Prometheus with the shipped rules records for `--for` minutes. Then
every query of every panel is asked over these, at the 240 points that Grafana asks for whatever the time range: for one
model and all its versions where the dashboard chooses a model, else for all models. Three times, of which the median
counts; the goal is a second for the slowest. Panels that show nothing are named with what they say instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "dashboards")]

from draw import BOARDS, CHOICE, POINTS, View, answers  # noqa: E402 - beside this file, not installed

from fleet import Fleet, write_blocks  # noqa: E402
from prometheus_tools import RULES, prometheus  # noqa: E402

ROUNDS, GOAL, SHOWN = 3, 1.0, 10
WRITING_SECONDS = 600.0
"""How long the history of 300 models may take to be written: it ends so much later."""


@dataclass(frozen=True)
class Answer:
    """What one query of a panel took, and how many series it gave."""

    board: str
    panel: str
    seconds: float
    series: int
    empty: str


def names_read() -> set[str]:
    """All names in the rules and the dashboards."""
    texts = [path.read_text() for path in (*RULES.glob("*.yml"), *BOARDS.glob("*.json"))]
    return {name for text in texts for name in re.findall(r"mlcanary_[a-z0-9_]+", text)}


def asked(url: str, span: tuple[float, float], model: str) -> Iterator[Answer]:
    """Every query of every panel."""
    view = View(url, {**CHOICE, "model": model, "feature": "number_00"}, *span)
    for path in sorted(BOARDS.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                taken, series = [], 0
                for _ in range(ROUNDS):
                    begun = time.perf_counter()
                    with contextlib.suppress(AssertionError):  # no answer: what it took until then is long enough
                        series = len(answers(view, target))
                    taken.append(time.perf_counter() - begun)
                print(f"{path.stem} / {panel['title']}: {median(taken):.3f} s", file=sys.stderr, flush=True)
                empty = panel["fieldConfig"]["defaults"].get("noValue", "the column stays empty")
                yield Answer(path.stem, panel["title"], median(taken), series, empty)


def report(models: int, found: list[Answer]) -> Iterator[str]:
    """Markdown."""
    ranked = sorted(found, key=lambda answer: -answer.seconds)
    yield f"{len(found)} queries at {POINTS} points, {models} models; goal: the slowest under {GOAL:g} s."
    yield ""
    yield "| dashboard | panel | seconds | series |"
    yield "| --- | --- | --- | --- |"
    for answer in ranked[:SHOWN]:
        yield f"| {answer.board} | {answer.panel} | {answer.seconds:.3f} | {answer.series} |"
    yield ""
    yield f"Median {median(answer.seconds for answer in found):.3f} s. Empty, and what the panel says:"
    yield ""
    for board, panel, empty in sorted({(a.board, a.panel, a.empty) for a in found if not a.series}):
        yield f"- {board} / {panel}: {empty}"


def main() -> int:
    """Print the report; 1 if a panel is too slow."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--for", type=float, default=5.0, dest="minutes", metavar="MINUTES")
    given = parser.parse_args()
    fleet = Fleet(models=given.models, sidecars=1, history=600.0, step=60.0, names=names_read())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print("writing the history ...", file=sys.stderr, flush=True)
        end = time.time() + WRITING_SECONDS * given.models / 300
        write_blocks(folder / "data", fleet, end)
        time.sleep(max(0.0, end - time.time() + 1.0))  # nothing is recorded before the end of a block
        configuration = {"global": {"evaluation_interval": "30s"}, "rule_files": [f"{RULES}/*.yml"]}
        with prometheus(folder, configuration) as url:
            print("letting the rules record ...", file=sys.stderr, flush=True)
            begin = time.time()
            time.sleep(60.0 * given.minutes)
            found = list(asked(url, (begin, time.time()), fleet.model(7 % given.models)))
    print("\n".join(report(given.models, found)))
    return int(max(answer.seconds for answer in found) >= GOAL)


if __name__ == "__main__":
    sys.exit(main())
