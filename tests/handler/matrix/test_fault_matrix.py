"""Every cell of the fault matrix over real parts: one effect, or a page; never a success that is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from handler.matrix.cells import cells, play, started
from handler.matrix.faults import Fault
from handler.matrix.kills import Killed
from handler.matrix.rigs import Rig
from handler.matrix.routers import HAProxyRig
from handler.matrix.switches import FileRig

KILLED_ELSEWHERE = (HAProxyRig, FileRig)
"""test_crash.py kills the handler over these: thirty runs each."""


@pytest.fixture(scope="module")
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The real part, one for all cells of its row."""
    with started(request.param, tmp_path_factory.mktemp(request.param.name)) as part:
        yield part


def rows() -> Iterator[object]:
    for kind, fault in cells():
        if not (isinstance(fault, Killed) and kind in KILLED_ELSEWHERE):
            yield pytest.param(kind, fault, id=f"{kind.name}-{fault.name}")


@pytest.mark.parametrize(("rig", "fault"), list(rows()), indirect=["rig"])
async def test_one_effect_or_a_page_and_never_a_false_success(rig: Rig, fault: Fault, tmp_path: Path) -> None:
    seen = await play(rig, fault, tmp_path)
    assert seen.wrong(fault.end_of(rig.name)) == "", seen
