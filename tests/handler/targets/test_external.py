"""Traffic that another controller moves is never written."""

from __future__ import annotations

import pytest

from mlcanary.handler.targets.contract import Guard, RefusedError, State, Unobservable
from mlcanary.handler.targets.external import ExternalSettings, ExternalTarget


async def test_nothing_is_read_and_nothing_is_written() -> None:
    target = ExternalTarget(ExternalSettings(versions=("v1", "v2")))
    desired, guard = State.only("v1", ("v1", "v2")), Guard("a", None)
    assert isinstance(await target.observe(), Unobservable)
    assert await target.owner() == "another controller"
    for refused in (target.apply, target.rehearse):
        with pytest.raises(RefusedError, match="another controller"):
            await refused(desired, guard)
    await target.complete(desired, guard)
