"""A rollback through the whole handler by a real MLflow server that obeys, refuses or is changed by others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handler_service import ended, handling
from handler_world import BAD, GOOD, QueryAPI, Release, configuration, payload
from mlflow_world import Registry

Fault = Callable[[Registry, str], None]


def nothing(_registry: Registry, _name: str) -> None:
    """It obeys."""


def deleted(registry: Registry, name: str) -> None:
    """The version to go back to is no more."""
    registry.delete(name, 1)


def others(registry: Registry, name: str) -> None:
    """Somebody moves the alias to a third version."""
    registry.point(name, 3)


@pytest.mark.parametrize(
    ("fault", "ends", "after"),
    [
        (nothing, ("resolved", "confirmed"), "1"),
        (deleted, ("failed", "failed"), "2"),
        (others, ("none", "no_evidence"), "3"),
    ],
    ids=["obeys", "refuses", "is changed by others"],
)
async def test_the_alias_is_where_the_handler_says(
    tmp_path: Path, registry: Registry, registered: str, fault: Fault, ends: tuple[str, str], after: str
) -> None:
    fault(registry, registered)

    def shares() -> dict[str, float]:
        """All traffic follows the alias, but for a trickle that keeps the other version known."""
        serving = GOOD if registry.pointed(registered) == "1" else BAD
        return {version: 0.99 if version == serving else 0.01 * (version == GOOD) for version in (GOOD, BAD)}

    section = f"{{type: mlflow, tracking_url: '{registry.url}', name: '{registered}', versions: {{v1: 1, v2: 2}}}}"
    async with QueryAPI(Release(shares)).serving() as api:
        text = configuration(api.url, section)
        if ends[0] == "none":  # an answer that never comes is not waited for
            text = text.replace("deadline: 30s", "deadline: 1s")
        async with handling(tmp_path, text) as handler:
            await handler.post(payload())
            assert await ended(handler) == ends
    assert registry.pointed(registered) == after
