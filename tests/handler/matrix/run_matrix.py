"""Run the fault matrix of the handler and print it as Markdown.

    python tests/handler/matrix/run_matrix.py                     every cell once
    python tests/handler/matrix/run_matrix.py --targets nginx     one row
    python tests/handler/matrix/run_matrix.py --kills 200         the handler killed in 200 runs over all targets

Needs haproxy, nginx and MLflow, as the tests do. The exit status is 1 if anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

from handler.matrix.cells import RIGS, cells, impossible, play, started  # noqa: E402 - beside this folder
from handler.matrix.faults import FAULTS  # noqa: E402
from handler.matrix.kills import Killed, kill  # noqa: E402
from handler.matrix.rigs import Rig  # noqa: E402
from handler_crashes import schedules  # noqa: E402

Rigs = Sequence[type[Rig]]


def matrix(rigs: Rigs, directory: Path) -> tuple[list[str], bool]:
    """The lines of the table, and whether all is well."""
    faults = (*FAULTS, Killed())
    told: dict[tuple[str, str], str] = {}
    well = True
    for kind in rigs:
        with started(kind, directory / kind.name) as rig:
            for number, (_, fault) in enumerate(cell for cell in cells() if cell[0] is kind):
                place = directory / f"{kind.name}{number}"
                place.mkdir()
                seen = asyncio.run(play(rig, fault, place))
                wrong = seen.wrong(fault.end_of(kind.name))
                well = well and not wrong
                told[fault.name, kind.name] = f"{seen}" + (f" **WRONG: {wrong}**" if wrong else "")
                print(f"{kind.name}, {fault.name}: {told[fault.name, kind.name]}", file=sys.stderr, flush=True)
    names = [kind.name for kind in rigs]
    lines = [f"| fault | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for fault in faults:
        row = [told.get((fault.name, kind.name), f"cannot be: {impossible(kind, fault)}") for kind in rigs]
        lines.append(f"| {fault.name} | {' | '.join(row)} |")
    return lines, well


def kills(rigs: Rigs, runs: int, directory: Path) -> tuple[list[str], bool]:
    """The same for deaths of the handler: `runs` spread over the targets."""
    lines = ["| target | runs | deaths | wrong ends | effects in each run |", "|---|---|---|---|---|"]
    well = True
    for number, kind in enumerate(rigs):
        share = runs // len(rigs) + (number < runs % len(rigs))
        place = directory / f"{kind.name}-ledgers"
        place.mkdir()
        with started(kind, directory / kind.name) as rig:
            seen = asyncio.run(kill(rig, place, schedules(share)))
        effects = ", ".join(str(count) for count in sorted(set(seen.effects)))
        lines.append(f"| {kind.name} | {seen.runs} | {seen.deaths} | {len(seen.wrong_runs)} | {effects} |")
        print(lines[-1], seen.wrong_runs or "", file=sys.stderr, flush=True)
        well = well and not seen.wrong_runs
    return lines, well


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0, metavar="RUNS")
    parser.add_argument("--targets", nargs="+", choices=[kind.name for kind in RIGS])
    given = parser.parse_args()
    logging.disable()
    rigs = [kind for kind in RIGS if given.targets is None or kind.name in given.targets]
    with tempfile.TemporaryDirectory() as name:
        lines, well = kills(rigs, given.kills, Path(name)) if given.kills else matrix(rigs, Path(name))
    print("\n".join(lines))
    sys.exit(not well)


if __name__ == "__main__":
    main()
