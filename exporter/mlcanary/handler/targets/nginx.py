"""nginx: one include file with a `split_clients` block, tested by `nginx -t` and taken over by a reload.

Hazards: nginx keeps the old configuration in silence if the new one cannot be loaded, so only `status` tells what is
in force. For some 100 ms after a reload the old workers still take connections; what they began, they end. A file
has no compare-and-set: another writer between our look and our rename is not seen.

The split is sticky and monotone: a key that is once on a growing version stays there. `split_clients` lays the
versions side by side in the order of `versions`; where one grows, its neighbour gives. So with three versions under
traffic the one that gives belongs between the two others.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import hashlib
import os
import re
import signal
from dataclasses import dataclass
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
_BEFORE = re.compile(r"^# before it (\{.*\})$", re.MULTILINE)
_LOOKS, _PAUSE = 20, 0.1  # old workers answer for some 100 ms after new ones do
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


@dataclass(frozen=True, slots=True)
class Split:
    """What an include file holds: its weights, and those that it took the place of."""

    state: State
    before: State | None = None


def render(settings: NginxSettings, state: State, before: State | None = None) -> str:
    """The include file for these weights: what is written, and what a first set-up puts there.

    `before` are the weights that nginx serves until it takes the file over. Raises RefusedError for a split that
    nginx cannot make: nobody serves, or a share under 0.01 %.
    """
    split = _block(settings, state)
    history = f"# before it {before.to_json()}\n" if before is not None else ""
    return (
        f"# Written by mlcanary. Edits are refused, not merged.\n{history}{split}"
        f"map $host ${settings.variable}_digest {{\n    default {_digest(split)};\n}}\n"
    )


def parse(settings: NginxSettings, text: str) -> Split:
    """What `render` wrote with these settings. Raises ConflictError for any other text."""
    mark, before = _MARK.search(text), _BEFORE.search(text)
    with contextlib.suppress(RefusedError, *UNREADABLE):
        split = Split(State.from_json(mark[1] if mark else ""), State.from_json(before[1]) if before else None)
        if render(settings, split.state, split.before) == text:
            return split
    raise ConflictError(
        f"{settings.include}: not as mlcanary wrote it for this key, variable and these upstreams",
        hint="another hand or an older configuration wrote it; look at it, then put the rendered include there",
    )


def _block(settings: NginxSettings, state: State) -> str:
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
    return f'{mark}\nsplit_clients "{settings.key}" ${settings.variable} {{\n{rows}}}\n'


def _digest(block: str) -> str:
    return hashlib.sha256(block.encode()).hexdigest()[:16]


class NginxTarget:
    """See `contract.Target`."""

    weighted = True

    def __init__(self, settings: NginxSettings) -> None:
        self._settings = settings
        self._path = Path(settings.include)
        self._taken_over = ""  # the newest split that nginx was seen to serve

    async def observe(self) -> State:
        """The weights of the file; with `status` those in force: of the file, or of the one before it."""
        split = self._split()
        status = self._settings.status
        if status is None:
            return split.state
        digest = _digest(_block(self._settings, split.state))
        served = await self._settled(status, digest)
        if served == digest:
            return split.state
        if split.before is not None and served == _digest(_block(self._settings, split.before)):
            return split.before
        raise ActionError(
            f"{self._path}: not in force: nginx serves the split {served!r}, neither the file's nor the one before it",
            hint="reload nginx by hand; if that changes nothing, it refuses its configuration: see its error log",
        )

    async def apply(self, desired: State, guard: Guard) -> None:
        """Swap the file in one rename, have it tested, reload; a file that fails the test is taken back."""
        filed = self._split().state
        if filed != desired:  # else nothing but the reload can be missing
            observed = await self.observe()
            if (
                check_guard(observed, desired, guard) or observed != filed
            ):  # a file that waits would come with our reload
                text = render(self._settings, desired, observed)
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
        if check_guard(await self.observe(), desired, guard):
            render(self._settings, desired)
            self._require_running()
            if not os.access(self._path.parent, os.W_OK):
                raise RefusedError(f"{self._path}: its directory cannot be written")
            await self._nginx("-t")

    async def owner(self) -> str:
        """Nobody can be told: a file that others write is a conflict, seen by `observe`."""
        return ""

    async def _settled(self, status: Status, digest: str) -> str:
        """The digest in force. An old worker that answers after a new one did is no change back: it is asked again."""
        served = ""
        try:
            async with asyncio.timeout(self._settings.timeout):
                for _ in range(_LOOKS):
                    answer = await call("GET", status.url, Access(self._settings.timeout))
                    served = answer[:64].decode("utf-8", "replace").strip()
                    if served == digest:
                        self._taken_over = digest
                    if served == digest or self._taken_over != digest:
                        break
                    await asyncio.sleep(_PAUSE)
        except TimeoutError as error:
            raise ActionError(f"GET {status.url}: no settled answer in {self._settings.timeout:g} s") from error
        return served

    def _split(self) -> Split:
        try:
            return parse(self._settings, self._path.read_bytes().decode())
        except FileNotFoundError as error:
            hint = "put the rendered include there once, and include it in the http section of nginx"
            raise ActionError(f"{self._path}: there is no such file", hint=hint) from error
        except (OSError, UnicodeDecodeError) as error:
            raise ActionError(f"{self._path}: cannot be read: {error}") from error

    def _swap(self, text: str, action_id: str) -> None:
        """Put a new file in the place of the old one, which is kept beside it under the name of the action."""
        for left in self._path.parent.glob(f".{glob.escape(self._path.name)}.*"):  # by an attempt that was cut off
            left.unlink(missing_ok=True)
        temporary, kept = self._path.with_name(f".{self._path.name}.{action_id}"), self._kept(action_id)
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
