"""The nginx target against a real nginx, and the split that it writes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from handler_world import free_port
from loopback_server import loopback
from mlcanary.errors import ActionError
from mlcanary.handler.targets import nginx as nginx_module
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State
from mlcanary.handler.targets.nginx import NginxSettings, NginxTarget, Split, Status, parse, render
from nginx_world import Nginx, digest_of

NOW, DESIRED = State.of({"v1": 90, "v2": 10}), State.of({"v1": 100, "v2": 0})
GUARD = Guard("a1", NOW)
BOTH = NginxSettings(include="/etc/nginx/split.conf", key="$cookie_user", versions={"v1": "one", "v2": "two"})
THREE = NginxSettings(include="/x", key="${arg_user}|x", versions={"b": "one", "a": "two", "c": "three"})


def test_the_file_is_this() -> None:
    assert render(BOTH, State.of({"v1": 95, "v2": 5})) == (
        "# Written by mlcanary. Edits are refused, not merged.\n"
        '# mlcanary split 1 {"v1":95,"v2":5}\n'
        'split_clients "$cookie_user" $mlcanary_upstream {\n'
        "    95.00%  one;\n"
        "    *       two;\n"
        "}\n"
        "map $host $mlcanary_upstream_digest {\n"
        "    default 85f828321b7f6fb9;\n"
        "}\n"
    )


def ranges(text: str) -> dict[str, tuple[float, float]]:
    """Where each upstream begins and ends, in percent, as nginx reads the block."""
    found, edge = {}, 0.0
    for share, upstream in re.findall(r"^    ([0-9.]+%|\*) +(\S+);$", text, re.MULTILINE):
        end = 100.0 if share == "*" else round(edge + float(share[:-1]), 2)
        assert edge < end
        found[upstream] = (edge, end)
        edge = end
    assert edge == 100.0
    return found


def test_who_has_nothing_is_left_out_and_the_last_one_has_the_rest() -> None:
    assert ranges(render(BOTH, State.of({"v1": 100, "v2": 0}))) == {"one": (0, 100)}
    assert ranges(render(BOTH, State.of({"v1": 0, "v2": 3}))) == {"two": (0, 100)}
    thirds = ranges(render(THREE, State.of({"a": 1, "b": 1, "c": 1})))
    assert thirds == {"one": (0, 33.33), "two": (33.33, 66.67), "three": (66.67, 100)}


WEIGHTS = st.integers(0, 256)


@given(st.tuples(WEIGHTS, WEIGHTS, WEIGHTS).filter(any))
def test_what_is_written_is_read_and_keeps_to_the_weights(weights: tuple[int, int, int]) -> None:
    state = State.of(dict(zip("abc", weights, strict=True)))
    text = render(THREE, state)
    assert parse(THREE, text) == Split(state)
    assert parse(THREE, render(THREE, state, before=state)) == Split(state, state)
    names = {"one": "b", "two": "a", "three": "c"}
    for upstream, (begin, end) in ranges(text).items():
        assert (end - begin) / 100 == pytest.approx(state.share(names[upstream]), abs=0.000101)


@given(st.integers(0, 100), st.integers(0, 100), st.sampled_from(["v1", "v2"]))
def test_a_user_of_a_growing_version_stays_with_it(one: int, other: int, canary: str) -> None:
    stable = "v2" if canary == "v1" else "v1"
    small, large = sorted((one, other))
    upstream = BOTH.versions[canary]
    before, after = (
        ranges(render(BOTH, State.of({canary: percent, stable: 100 - percent}))).get(upstream, (100.0, 100.0))
        for percent in (small, large)
    )
    if small:
        assert after[0] <= before[0]
        assert before[1] <= after[1]


@pytest.mark.parametrize(
    "weights", [{"v1": 0, "v2": 0}, {"v1": 1}, {"v1": 1, "v3": 1}, {"v1": 100_000, "v2": 1}, {"v1": 5, "v2": -1}]
)
def test_a_split_that_nginx_cannot_make_is_refused(weights: dict[str, int]) -> None:
    with pytest.raises(RefusedError, match=r"gives no version|under 0\.01 %"):
        render(BOTH, State.of(weights))


OURS = render(BOTH, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "split_clients $cookie_user $mlcanary_upstream { * one; }\n",
        OURS.replace("90.00%", "50.00%"),
        OURS.replace('"v2":10', '"v2":20'),
        OURS.replace('{"v1":90,"v2":10}', "{}"),
        OURS.replace('{"v1":90,"v2":10}', '{"v1":true}'),
        OURS.replace(" two;", " three;"),
        OURS + "# mine\n",
        OURS.replace("$cookie_user", "$remote_addr"),
    ],
)
def test_a_file_by_another_hand_is_a_conflict(text: str) -> None:
    with pytest.raises(ConflictError, match="not as mlcanary wrote it"):
        parse(BOTH, text)


@pytest.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[Nginx]:
    server = Nginx(tmp_path)
    with server.running(NOW):
        await server.in_force(NginxTarget(server.settings()), NOW)
        yield server


async def test_it_sees_and_sets_the_split_and_leaves_nothing_behind(nginx: Nginx) -> None:
    target = NginxTarget(nginx.settings())
    nginx.include.chmod(0o640)
    await target.rehearse(DESIRED, GUARD)
    assert parse(nginx.settings(), nginx.include.read_text()) == Split(NOW)
    await target.apply(DESIRED, GUARD)
    await nginx.in_force(target, DESIRED)
    assert nginx.include.stat().st_mode & 0o777 == 0o640
    inode = nginx.include.stat().st_ino
    await target.apply(DESIRED, GUARD)
    await target.complete(DESIRED, GUARD)
    await nginx.in_force(target, DESIRED)
    assert nginx.include.stat().st_ino == inode
    assert nginx.left() == []
    assert (target.weighted, await target.owner()) == (True, "")


async def test_without_a_pid_file_nginx_is_told_by_itself(nginx: Nginx) -> None:
    target = NginxTarget(nginx.settings(pid_file=""))
    await target.apply(DESIRED, GUARD)
    await nginx.in_force(target, DESIRED)


async def test_a_split_that_fails_the_test_is_taken_back(nginx: Nginx) -> None:
    target = NginxTarget(nginx.settings())
    nginx.config.write_text(nginx.config.read_text() + "nonsense;\n")
    with pytest.raises(RefusedError, match=r'the old one is back.*unknown directive "nonsense"'):
        await target.apply(DESIRED, GUARD)
    assert await target.observe() == NOW
    assert nginx.left() == []
    with pytest.raises(ActionError, match="nonsense"):
        await target.rehearse(DESIRED, GUARD)
    with pytest.raises(ActionError, match="nonsense"):
        await target.complete(NOW, GUARD)
    assert await target.observe() == NOW


@pytest.mark.parametrize("broken", [False, True])
async def test_an_action_that_was_cut_off_after_the_rename_is_ended(nginx: Nginx, broken: bool) -> None:
    target = NginxTarget(nginx.settings())
    nginx.include.rename(nginx.directory / ".split.conf.a1.old")
    nginx.include.write_text(render(nginx.settings(), DESIRED, before=NOW))
    assert await target.observe() == NOW
    if broken:
        nginx.config.write_text(nginx.config.read_text() + "nonsense;\n")
        with pytest.raises(RefusedError, match="the old one is back"):
            await target.apply(DESIRED, GUARD)
    else:
        await target.apply(DESIRED, GUARD)
    await nginx.in_force(target, NOW if broken else DESIRED)
    assert nginx.left() == []


async def test_leftovers_of_a_first_attempt_are_in_nobodys_way(nginx: Nginx) -> None:
    target = NginxTarget(nginx.settings())
    for name in (".split.conf.a1", ".split.conf.a1.old", ".split.conf.a0.old"):
        (nginx.directory / name).write_text("left over")
    await target.apply(DESIRED, GUARD)
    await nginx.in_force(target, DESIRED)
    assert nginx.left() == []


async def test_the_split_of_another_writer_is_left_alone(nginx: Nginx) -> None:
    target = NginxTarget(nginx.settings(status=None))
    text = render(nginx.settings(), State.of({"v1": 1, "v2": 1}))
    nginx.include.write_text(text)
    for order in (target.apply, target.rehearse):
        with pytest.raises(ConflictError, match='"v1":1'):
            await order(DESIRED, GUARD)
    nginx.include.write_text(text.replace("50.00%", "51.00%"))
    with pytest.raises(ConflictError, match="not as mlcanary wrote it"):
        await target.apply(DESIRED, GUARD)


async def test_a_server_that_does_not_run_gets_no_new_file(tmp_path: Path) -> None:
    server = Nginx(tmp_path)
    with server.running(NOW) as process:
        await server.in_force(NginxTarget(server.settings()), NOW)
        process.end()
    target = NginxTarget(server.settings(status=None))
    for order in (target.apply, target.rehearse):
        with pytest.raises(RefusedError, match="nginx does not run, the file stays"):
            await order(DESIRED, GUARD)
    assert await target.observe() == NOW
    with pytest.raises(ActionError, match="Cannot connect"):
        await NginxTarget(server.settings()).observe()


async def test_a_file_that_is_not_there_or_cannot_be_read_or_written_is_told(tmp_path: Path) -> None:
    server = Nginx(tmp_path)
    with pytest.raises(ActionError, match="there is no such file"):
        await NginxTarget(server.settings()).observe()
    server.include.write_bytes(b"\xff\xfe")
    with pytest.raises(ActionError, match="cannot be read"):
        await NginxTarget(server.settings()).observe()
    long = tmp_path / ("x" * 252)  # the names beside it are longer than a file system takes
    settings = server.settings(include=str(long), pid_file="", status=None)
    long.write_text(render(settings, NOW))
    with pytest.raises(RefusedError, match="cannot be written"):
        await NginxTarget(settings).apply(DESIRED, GUARD)


async def test_a_file_that_waits_for_a_reload_does_not_come_with_another_one(nginx: Nginx) -> None:
    target = NginxTarget(nginx.settings())
    waiting = render(nginx.settings(), State.of({"v1": 50, "v2": 50}), before=NOW)
    for desired in (DESIRED, NOW):
        nginx.include.write_text(waiting)
        before = await target.observe()
        assert before == NOW
        await target.apply(desired, Guard(f"to-{desired.weight('v1')}", before))
        await nginx.in_force(target, desired)
        assert parse(nginx.settings(), nginx.include.read_text()).state == desired
        await target.apply(NOW, Guard("back", desired))
        await nginx.in_force(target, NOW)


async def test_a_split_that_is_not_in_force_is_told(nginx: Nginx) -> None:
    nginx.include.write_text(render(nginx.settings(), DESIRED))
    target = NginxTarget(nginx.settings())
    for order in (target.observe, lambda: target.rehearse(NOW, GUARD), lambda: target.apply(NOW, GUARD)):
        with pytest.raises(ActionError, match=r"not in force: nginx serves the split '[0-9a-f]{16}'"):
            await order()
    await target.complete(DESIRED, GUARD)
    await nginx.in_force(target, DESIRED)


async def test_an_old_worker_that_answers_after_a_new_one_is_no_change_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx_module, "_PAUSE", 0.0)
    server, answers = Nginx(tmp_path), list[str]()
    new, old = (digest_of(render(server.settings(), state)) for state in (DESIRED, NOW))
    server.include.write_text(render(server.settings(), DESIRED, before=NOW))

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=answers.pop(0))

    async with loopback(web.get("/", answer)) as url:
        target = NginxTarget(server.settings(status=Status(url=f"{url}/")))
        answers[:] = [old]
        assert await target.observe() == NOW
        answers[:] = [new, old, old, new, *[old] * 20]
        assert [await target.observe() for _ in range(3)] == [DESIRED, DESIRED, NOW]
        assert answers == []
        answers[:] = ["hello"]
        with pytest.raises(ActionError, match="nginx serves the split 'hello'"):
            await NginxTarget(server.settings(status=Status(url=f"{url}/"))).observe()


async def test_a_status_that_nobody_answers_is_an_error(nginx: Nginx) -> None:
    status = Status(url=f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(ActionError):
        await NginxTarget(nginx.settings(status=status)).observe()
