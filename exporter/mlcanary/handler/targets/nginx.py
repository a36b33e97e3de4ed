"""nginx: one include file with a `split_clients` block, tested by `nginx -t` and taken over by a reload.

Hazards: nginx keeps the old configuration in silence if the new one cannot be loaded, so only `status` tells what is
in force. For some 100 ms after a reload the old workers still take connections; what they began, they end. A file
has no compare-and-set: another writer between our look and our rename is not seen.

The split is sticky and monotone: a key that is once on a growing version stays there. `split_clients` lays the
versions side by side in the order of `versions`; where one grows, its neighbour gives. So with three versions under
traffic the one that gives belongs between the two others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
from pathlib import Path
from typing import Annotated

import msgspec

from mlcanary.documents import Schema, Seconds
from mlcanary.errors import ActionError
from mlcanary.handler.calls import UNREADABLE, Access, call
from mlcanary.handler.targets.contract import ConflictError, Guard, RefusedError, State, check_guard
from mlcanary.handler.targets.file import AbsolutePath
from mlcanary.handler.targets.http import Url
from mlcanary.handler.targets.processes import Argv, run
from mlcanary.handler.targets.signals import find_process, send_signal

Variable = Annotated[str, msgspec.Meta(pattern=r"^[a-z_][a-z0-9_]{0,63}$")]
Key = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.:|/{}-]*\$[A-Za-z0-9_.:|/${}-]{1,255}$")]
Upstream = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
_MARK = re.compile(r"^# mlcanary split 1 (\{.*\})$", re.MULTILINE)
_PARTS = 10_000  # split_clients reads percentages with two decimals


class Status(Schema, frozen=True):
    """GET `url` answers the digest of the split in force, the variable `$VARIABLE_digest`."""

    url: Url


class NginxSettings(Schema, frozen=True, tag_field="type", tag="nginx"):
    """`include` is ours alone. `versions` maps a version to its upstream; `key` is what a user is known by.

    `config` is what `nginx -t` tests, nginx's own default if empty. `pid_file` gets the HUP; without one
    `command` is run with `-s reload`, for a handler that may not signal the server.
    """

    include: AbsolutePath
    key: Key
    versions: dict[str, Upstream]
    variable: Variable = "mlcanary_upstream"
    command: Argv = ("/usr/sbin/nginx",)
    config: str = ""
    pid_file: str = ""
    status: Status | None = None
    timeout: Seconds = Seconds(10.0)


def render(settings: NginxSettings, state: State) -> str:
    """The include file for these weights: what is written, and what a first set-up puts there.

    Raises RefusedError for a split that nginx cannot make: nobody serves, or a share under 0.01 %.
    """
    serving = [(version, state.weight(version)) for version in settings.versions if state.weight(version) > 0]
    known = set(dict(state.weights)) == set(settings.versions)
    if not known or not serving or any(weight < 0 for _, weight in state.weights):
        raise RefusedError(f"{state.to_json()} gives no version of {', '.join(settings.versions)} the traffic")
    lines, edge, begun = [], 0, 0
    for version, weight in serving[:-1]:
        begun += weight
        end = round(_PARTS * begun / state.total)
        lines.append((f"{(end - edge) / 100:.2f}%", version, end - edge))
        edge = end
    lines.append(("*", serving[-1][0], _PARTS - edge))
    if any(parts < 1 for _, _, parts in lines):
        raise RefusedError(f"{state.to_json()} has a share under 0.01 %, which nginx cannot give")
    rows = "".join(f"    {share:<7} {settings.versions[version]};\n" for share, version, _ in lines)
    mark = f"# mlcanary split 1 {state.to_json()}"
    block = f'split_clients "{settings.key}" ${settings.variable} {{\n{rows}}}\n'
    digest = hashlib.sha256(f"{mark}\n{block}".encode()).hexdigest()[:16]
    return (
        "# Written by mlcanary. Edits are refused, not merged.\n"
        f"{mark}\n{block}"
        f"map $host ${settings.variable}_digest {{\n    default {digest};\n}}\n"
    )


def parse(settings: NginxSettings, text: str) -> State:
    """The weights of an include file that `render` wrote with these settings. Raises ConflictError for any other."""
    mark = _MARK.search(text)
    with contextlib.suppress(RefusedError, *UNREADABLE):
        state = State.from_json(mark[1] if mark else "")
        if render(settings, state) == text:
            return state
    raise ConflictError(
        f"{settings.include}: not as mlcanary wrote it for this key, variable and these upstreams",
        hint="another hand or an older configuration wrote it; look at it, then put the rendered include there",
    )


class NginxTarget:
    """See `contract.Target`."""

    weighted = True

    def __init__(self, settings: NginxSettings) -> None:
        self._settings = settings
        self._path = Path(settings.include)

    async def observe(self) -> State:
        """The weights of the file; with `status` only once they are in force."""
        text = self._read()
        state = parse(self._settings, text)
        status = self._settings.status
        if status is not None:
            answer = await call("GET", status.url, Access(self._settings.timeout))
            if answer.strip() != _digest(text):
                served = answer[:64].decode("utf-8", "replace")
                raise ActionError(
                    f"{self._path}: reload not yet in force: nginx serves {served!r}, not the split of the file",
                    hint="if it lasts, nginx refused the new configuration: see its error log",
                )
        return state

    async def apply(self, desired: State, guard: Guard) -> None:
        """Swap the file in one rename, have it tested, reload; a file that fails the test is taken back."""
        if check_guard(parse(self._settings, self._read()), desired, guard):
            text = render(self._settings, desired)
            self._require_running()
            try:
                self._swap(text, guard.action_id)
            except OSError as error:
                raise RefusedError(f"{self._path}: cannot be written: {error}") from error
        await self.complete(desired, guard)

    async def complete(self, desired: State, guard: Guard) -> None:
        """Test and reload: harmless when repeated. Raises RefusedError if the old file had to be put back."""
        kept = self._kept(guard.action_id)
        try:
            await self._nginx("-t")
        except ActionError as error:
            if not kept.exists():
                raise
            kept.replace(self._path)
            self._settle()
            raise RefusedError(f"the new split does not pass nginx -t, the old one is back: {error}") from error
        if self._settings.pid_file:
            send_signal(Path(self._settings.pid_file), signal.SIGHUP)
        else:
            await self._nginx("-s", "reload")
        kept.unlink(missing_ok=True)

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Whether the guard holds, nginx can make the split, runs and passes its test, and the file can be swapped."""
        if check_guard(parse(self._settings, self._read()), desired, guard):
            render(self._settings, desired)
            self._require_running()
            if not os.access(self._path.parent, os.W_OK):
                raise RefusedError(f"{self._path}: its directory cannot be written")
            await self._nginx("-t")

    async def owner(self) -> str:
        """Nobody can be told: a file that others write is a conflict, seen by `observe`."""
        return ""

    def _read(self) -> str:
        try:
            return self._path.read_bytes().decode()
        except FileNotFoundError as error:
            hint = "put the rendered include there once, and include it in the http section of nginx"
            raise ActionError(f"{self._path}: there is no such file", hint=hint) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ActionError(f"{self._path}: cannot be read: {error}") from error

    def _swap(self, text: str, action_id: str) -> None:
        """Put a new file in the place of the old one, which is kept beside it under the name of the action."""
        temporary, kept = self._path.with_name(f".{self._path.name}.{action_id}"), self._kept(action_id)
        for left in (temporary, kept):  # by an attempt that was cut off
            left.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8") as file:
            os.fchmod(file.fileno(), self._path.stat().st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(self._path, kept)
        temporary.replace(self._path)
        self._settle()

    def _settle(self) -> None:
        """Have the rename outlive a power cut."""
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _kept(self, action_id: str) -> Path:
        return self._path.with_name(f".{self._path.name}.{action_id}.old")

    def _require_running(self) -> None:
        """A file that nobody reads again would count later, by surprise."""
        if self._settings.pid_file:
            try:
                find_process(Path(self._settings.pid_file))
            except ActionError as error:
                raise RefusedError(f"nginx does not run, the file stays: {error}", hint=error.hint) from error

    async def _nginx(self, *arguments: str) -> None:
        config = ("-c", self._settings.config) if self._settings.config else ()
        await run([*self._settings.command, *config, *arguments], self._settings.timeout)


def _digest(text: str) -> bytes:
    """The digest that the file gives to nginx."""
    return text.rpartition("default ")[2].partition(";")[0].encode()
