"""The command target with real scripts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from mlcanary.documents import Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.targets.command import CommandSettings, CommandTarget
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State, Unobservable

V1, V2 = State.of({"v1": 1, "v2": 0}), State.of({"v1": 0, "v2": 1})
GUARD = Guard("a1", V2)

# With "observe": print the state. Else: take the order, keep it and what was in the environment.
SCRIPT = """
import json, os, pathlib, sys
home = pathlib.Path(__file__).parent
if sys.argv[1:] == ["observe"]:
    print(json.dumps({"weights": json.loads((home / "state.json").read_text())}))
else:
    order = json.load(sys.stdin)
    (home / "seen.json").write_text(json.dumps({"order": order, "environment": dict(os.environ)}))
    (home / "state.json").write_text(json.dumps(order["desired"]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "roll.py").write_text(SCRIPT)
    (tmp_path / "state.json").write_text('{"v1": 0, "v2": 1}')
    return tmp_path / "roll.py"


def target(*argv: str, observe: tuple[str, ...] | None = None, timeout: float = 20.0) -> CommandTarget:
    return CommandTarget(CommandSettings(argv=argv, observe=observe, versions=("v1", "v2"), timeout=Seconds(timeout)))


async def test_the_command_gets_the_order_on_stdin_and_an_empty_environment(script: Path) -> None:
    roll = target(sys.executable, str(script), observe=(sys.executable, str(script), "observe"))
    assert await roll.observe() == V2
    await roll.apply(V1, GUARD)
    assert await roll.observe() == V1
    seen = json.loads((script.parent / "seen.json").read_text())
    assert seen["order"] == {"action_id": "a1", "desired": {"v1": 1, "v2": 0}, "expected": {"v1": 0, "v2": 1}}
    assert set(seen["environment"]) - {"LC_CTYPE"} == {"MLCANARY_ACTION_ID"}
    (script.parent / "seen.json").unlink()
    await roll.apply(V1, GUARD)
    assert not (script.parent / "seen.json").exists()


async def test_without_observe_nothing_can_be_seen(script: Path) -> None:
    assert await target(sys.executable, str(script)).observe() == Unobservable("configure observe")


async def test_an_exit_status_is_told_with_what_was_said() -> None:
    with pytest.raises(ActionError, match="exit status 3: no permission") as caught:
        await target("/bin/sh", "-c", "echo no permission >&2; exit 3").apply(V1, GUARD)
    assert not isinstance(caught.value, RefusedError)


async def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "child"
    with pytest.raises(ActionError, match="still running after"):
        await target("/bin/sh", "-c", f"(/bin/sleep 600; echo late > {mark}) & wait", timeout=0.3).apply(V1, GUARD)
    assert not mark.exists()


async def test_a_command_that_does_not_exist_changed_nothing() -> None:
    with pytest.raises(RefusedError, match="cannot be started"):
        await target("/no/such/command").apply(V1, GUARD)


@pytest.mark.parametrize("output", ["", "hello", '{"weights": {"v1": 1}}', '{"weights": {"v1": -1, "v2": 2}}'])
async def test_an_observation_that_is_none_is_an_error(output: str) -> None:
    with pytest.raises(ActionError):
        await target("/bin/true", observe=("/bin/echo", output)).observe()


@pytest.mark.parametrize("printed", [r"{\"weights\":{\"caf\351\":1}}", r"\377\376"])
async def test_bytes_that_are_no_document_are_an_error_of_the_target(printed: str) -> None:
    with pytest.raises(ActionError, match="its output is no observation"):
        await target("/bin/true", observe=("/usr/bin/printf", printed)).observe()


async def test_a_rehearsal_runs_the_observation_only(script: Path) -> None:
    roll = target(sys.executable, str(script), observe=(sys.executable, str(script), "observe"))
    await roll.rehearse(V1, GUARD)
    await roll.complete(V1, GUARD)
    with pytest.raises(ConflictError):
        await roll.rehearse(V1, Guard("a1", State.of({"v1": 1, "v2": 1})))
    with pytest.raises(RefusedError, match="cannot be run"):
        await target("/no/such/command").rehearse(V1, Guard("a1", None))
    with pytest.raises(RefusedError, match="cannot be run"):
        await target("/no/such/command", observe=(sys.executable, str(script), "observe")).rehearse(V1, GUARD)
    await target("/no/such/command", observe=(sys.executable, str(script), "observe")).rehearse(V2, GUARD)
    assert not (script.parent / "seen.json").exists()
    assert await roll.owner() == ""


async def test_a_command_is_a_router_if_it_says_so(script: Path) -> None:
    argv = (sys.executable, str(script))
    assert not target(*argv).weighted
    settings = CommandSettings(argv=argv, observe=(*argv, "observe"), versions=("v1", "v2"), weighted=True)
    router = CommandTarget(settings)
    desired = State.split("v2", 0.25, "v1", ("v1", "v2"))
    await router.apply(desired, GUARD)
    assert router.weighted
    assert desired.reached_by(await seen(router))


async def seen(router: CommandTarget) -> State:
    observed = await router.observe()
    assert isinstance(observed, State)
    return observed


async def test_an_output_without_end_is_an_error() -> None:
    with pytest.raises(ActionError, match="more than 65536 bytes of output"):
        await target("/bin/true", observe=("/usr/bin/head", "-c", "70000", "/dev/zero")).observe()
