"""A rollback through the whole handler by a real nginx that obeys, refuses, lies, is changed by others or is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from handler_service import ended, handling
from handler_world import BAD, GOOD, Process, QueryAPI, Release, configuration, payload
from mlcanary.handler.targets.contract import State
from mlcanary.handler.targets.nginx import NginxTarget, render
from nginx_world import BINARY, Nginx, digest_of

BEFORE, AFTER = State.of({GOOD: 90, BAD: 10}), State.of({GOOD: 100, BAD: 0})
Fault = Callable[[Nginx, Process], None]


def nothing(_nginx: Nginx, _process: Process) -> None:
    """It obeys."""


def refuses(nginx: Nginx, _process: Process) -> None:
    """Somebody left a mistake in another part of the configuration."""
    nginx.config.write_text(nginx.config.read_text() + "nonsense;\n")


def others(nginx: Nginx, _process: Process) -> None:
    """Somebody edits the file."""
    nginx.include.write_text(nginx.include.read_text().replace("90.00%", "80.00%"))


def gone(_nginx: Nginx, process: Process) -> None:
    """The server ends."""
    process.end()


@pytest.mark.parametrize(
    ("fault", "passes", "ends", "after"),
    [
        (nothing, BINARY, ("resolved", "confirmed"), AFTER),
        (refuses, BINARY, ("failed", "failed"), BEFORE),
        (refuses, "/bin/true", ("failed", "failed"), BEFORE),
        (others, BINARY, ("none", "no_evidence"), BEFORE),
        (gone, BINARY, ("none", "no_evidence"), None),
    ],
    ids=["obeys", "refuses", "lies", "is changed by others", "is gone"],
)
async def test_what_nginx_serves_is_what_the_handler_says(
    tmp_path: Path, fault: Fault, passes: str, ends: tuple[str, str], after: State | None
) -> None:
    nginx = Nginx(tmp_path)
    target = NginxTarget(nginx.settings())
    with nginx.running(BEFORE) as process:
        await nginx.in_force(target, BEFORE)
        digests = {digest_of(render(nginx.settings(), state)): state for state in (BEFORE, AFTER)}
        fault(nginx, process)

        def shares() -> dict[str, float]:
            state = digests.get(nginx.serves(), BEFORE)
            return {version: state.share(version) for version in (GOOD, BAD)}

        async with QueryAPI(Release(shares)).serving() as api:
            text = configuration(api.url, nginx.section(command=passes))
            soon = text.replace("deadline: 30s", "deadline: 1s")  # an answer that never comes is not waited for
            async with handling(tmp_path, soon if ends[0] == "none" else text) as handler:
                await handler.post(payload())
                assert await ended(handler) == ends
        assert digests.get(nginx.serves()) == after
