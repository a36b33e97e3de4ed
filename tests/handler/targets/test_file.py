"""The file target on real links, files and processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from handler_world import running
from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State
from mlcanary.handler.targets.file import FileSettings, FileTarget
from mlcanary.handler.targets.reload import Reload

V1, V2 = State.of({"v1": 1, "v2": 0}), State.of({"v1": 0, "v2": 1})
GUARD = Guard("a1", V2)
VALUES = {"v1": "models/v1", "v2": "models/v2"}

# Says "ready", waits for SIGHUP, says "reloaded".
SERVER = """
import signal, sys
signal.signal(signal.SIGHUP, lambda *_: (print("reloaded", flush=True), sys.exit(0)))
print("ready", flush=True)
signal.pause()
"""


@pytest.fixture
def link(tmp_path: Path) -> Path:
    path = tmp_path / "current"
    path.symlink_to("models/v2")
    return path


def symlink(path: Path, reload: Reload | None = None) -> FileTarget:
    return FileTarget(FileSettings(path=str(path), values=VALUES, reload=reload))


async def test_a_link_is_seen_and_swapped_in_one_rename(link: Path) -> None:
    target = symlink(link)
    assert await target.observe() == V2
    (link.parent / ".current.a1").symlink_to("left/over")
    await target.apply(V1, GUARD)
    assert os.readlink(link) == "models/v1"
    assert await target.observe() == V1
    inode = os.lstat(link).st_ino
    await target.apply(V1, GUARD)
    assert os.lstat(link).st_ino == inode
    assert os.listdir(link.parent) == ["current"]


async def test_a_json_file_keeps_its_other_keys(tmp_path: Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text('{"version": "models/v2", "color": "blue"}')
    target = FileTarget(FileSettings(path=str(path), values=VALUES, kind="json"))
    assert await target.observe() == V2
    await target.apply(V1, GUARD)
    assert json.loads(path.read_text()) == {"version": "models/v1", "color": "blue"}


async def test_a_value_that_is_not_configured_is_nobodys_state(link: Path) -> None:
    os.unlink(link)
    os.symlink("models/v9", link)
    with pytest.raises(ActionError, match=r"'models/v9' is no configured value"):
        await symlink(link).observe()


async def test_a_link_that_others_moved_is_left_alone(link: Path) -> None:
    target = FileTarget(FileSettings(path=str(link), values={**VALUES, "v3": "models/v3"}))
    with pytest.raises(ConflictError):
        await target.apply(State.only("v1", ("v1", "v2", "v3")), Guard("a1", State.only("v3", ("v1", "v2", "v3"))))
    assert os.readlink(link) == "models/v2"


async def test_a_folder_that_cannot_be_written_is_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 253)  # the name of the temporary file is longer than a file system takes
    os.symlink("models/v2", path)
    with pytest.raises(RefusedError, match="cannot be written"):
        await symlink(path).apply(V1, GUARD)


async def test_the_server_of_the_pid_file_is_told(link: Path) -> None:
    with running([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as process:
        assert process.popen.stdout is not None
        assert process.popen.stdout.readline() == b"ready\n"
        pid_file = link.parent / "server.pid"
        pid_file.write_text(f"{process.popen.pid}\n")
        await symlink(link, Reload(pid_file=str(pid_file))).apply(V1, GUARD)
        assert process.popen.stdout.readline() == b"reloaded\n"
        process.popen.stdout.close()


async def test_a_crash_before_the_reload_is_made_good(link: Path) -> None:
    with running([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as process:
        assert process.popen.stdout is not None
        assert process.popen.stdout.readline() == b"ready\n"
        pid_file = link.parent / "server.pid"
        pid_file.write_text(str(process.popen.pid))
        await symlink(link, Reload(pid_file=str(pid_file))).complete(V1, GUARD)
        assert process.popen.stdout.readline() == b"reloaded\n"
        process.popen.stdout.close()


async def test_a_process_that_is_younger_than_its_pid_file_is_not_signalled(link: Path) -> None:
    pid_file = link.parent / "server.pid"
    with running([sys.executable, "-c", SERVER], stdout=subprocess.DEVNULL) as process:
        pid_file.write_text(str(process.popen.pid))
        os.utime(pid_file, (1, 1))
        with pytest.raises(ActionError, match="started after the file was written"):
            await symlink(link, Reload(pid_file=str(pid_file))).apply(V1, GUARD)
        process.end(signal.SIGKILL)
        with pytest.raises(ActionError, match="cannot signal"):
            await symlink(link, Reload(pid_file=str(pid_file))).apply(V1, Guard("a1", V1))


@pytest.mark.parametrize("content", [b'{"version":"caf\xe9"}', b"\xff\xfe", b'{"version":' * 100_000])
async def test_bytes_that_are_no_document_are_an_error_of_the_target(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "flags.json"
    path.write_bytes(content)
    target = FileTarget(FileSettings(path=str(path), values=VALUES, kind="json"))
    with pytest.raises(ActionError, match="cannot be read"):
        await target.observe()


async def test_a_rehearsal_raises_what_the_swap_would_and_writes_nothing(link: Path) -> None:
    target = symlink(link)
    await target.rehearse(V1, GUARD)
    await target.rehearse(V2, GUARD)
    with pytest.raises(ConflictError):
        await target.rehearse(V1, Guard("a1", State.of({"v1": 0, "v2": 0})))
    assert os.listdir(link.parent) == ["current"]
    assert os.readlink(link) == "models/v2"
    assert (target.weighted, await target.owner()) == (False, "")


async def test_a_folder_that_cannot_be_written_is_seen_by_a_rehearsal() -> None:
    path = Path("/proc/self/exe")  # a link in a folder that nobody writes, not even root
    target = FileTarget(FileSettings(path=str(path), values={"v1": "other", "v2": os.readlink(path)}))
    with pytest.raises(RefusedError, match="its directory cannot be written"):
        await target.rehearse(V1, GUARD)
    with pytest.raises(RefusedError, match="cannot be written"):
        await target.apply(V1, GUARD)


@pytest.mark.parametrize("content", ["0", "-1", "1 2", "hello", ""])
async def test_a_pid_file_that_names_no_process_signals_nobody(link: Path, content: str) -> None:
    pid_file = link.parent / "server.pid"
    pid_file.write_text(content)
    with pytest.raises(ActionError, match=r"cannot signal|is no process"):
        await symlink(link, Reload(pid_file=str(pid_file))).complete(V1, GUARD)
