"""Every cell of the fault matrix over real parts: one effect, or a page; never a success that is none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handler.matrix.cells import RIGS, cells, play
from handler.matrix.faults import Fault
from handler.matrix.kills import Killed
from handler.matrix.rigs import Rig
from handler.matrix.router_rigs import HAProxyRig
from handler.matrix.switch_rigs import FileRig, MLflowRig
from handler_crashes import POINTS
from mlflow_world import Registry

KILLED_ELSEWHERE = (HAProxyRig, FileRig)
"""test_crash.py kills the handler over these: thirty runs each."""
KILLED_HERE = [kind for kind in RIGS if kind not in KILLED_ELSEWHERE]
"""Each of these has some of the points, all of them together every one; run_matrix.py has every one for each."""


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> Iterator[Callable[[type[Rig]], Rig]]:
    """Gives the real part of a kind, one for all cells of its row."""
    found: dict[type[Rig], Rig] = {}
    with contextlib.ExitStack() as stack:

        def of(kind: type[Rig]) -> Rig:
            if kind not in found:
                rig = found[kind] = kind(tmp_path_factory.mktemp(kind.name))
                if isinstance(rig, MLflowRig):
                    rig.share(registry)
                stack.enter_context(rig.running())
            return found[kind]

        yield of


def rows() -> Iterator[object]:
    for kind, fault in cells():
        if not isinstance(fault, Killed):
            yield pytest.param(kind, fault, id=f"{kind.name}-{fault.name}")
        elif kind not in KILLED_ELSEWHERE:
            killed = Killed(POINTS[KILLED_HERE.index(kind) :: len(KILLED_HERE)])
            yield pytest.param(kind, killed, id=f"{kind.name}-{fault.name}")


@pytest.mark.parametrize(("kind", "fault"), list(rows()))
async def test_one_effect_or_a_page_and_never_a_false_success(
    part: Callable[[type[Rig]], Rig], kind: type[Rig], fault: Fault, tmp_path: Path
) -> None:
    seen = await play(part(kind), fault, tmp_path)
    assert seen.wrong(fault.end_of(kind.name)) == "", seen
