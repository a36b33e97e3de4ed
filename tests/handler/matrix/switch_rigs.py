"""A symbolic link with a server behind it, MLflow, an HTTP service and a command as rigs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import sqlite3
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
from aiohttp import web

from handler.matrix.rigs import DIE, HANG, LIE, OBEY, PARTLY, REFUSE, Rig, Shares
from handler.matrix.router_rigs import wait_for
from handler_world import BAD, GOOD, free_port, running
from loopback_server import loopback
from mlflow_world import Registry, mlflow_server

SERVER = Path(__file__).parent / "little_server.py"
NUMBERS = itertools.count()
POINTED = "SELECT version FROM registered_model_aliases WHERE name=? AND alias='champion'"
CONTENT = {"Content-Type": "application/json"}


class LittleServer:
    """The process of `little_server.py`, its memory and its mode."""

    def __init__(self, directory: Path, link: Path | None) -> None:
        self._memory, self._mode = directory / "served.json", directory / "mode"
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        paths = [str(self._memory), str(self._mode), str(link) if link is not None else ""]
        self._argv = [sys.executable, "-I", "-S", str(SERVER), str(self._port), *paths]
        self._stack = contextlib.ExitStack()

    def set(self, weights: dict[str, int]) -> None:
        """Serve by these weights, nothing counted."""
        self.treat(OBEY)
        self._memory.write_text(json.dumps({"weights": weights, "effects": 0, "orders": []}))

    def treat(self, mode: str) -> None:
        """How it treats orders from now on."""
        self._mode.write_text(mode)

    def start(self) -> None:
        """Start, or start again after a hard end."""
        self.stop()
        self._stack.enter_context(running(self._argv))
        wait_for(self._answers)

    def stop(self) -> None:
        """End it hard."""
        self._stack.close()

    def told(self) -> dict[str, object]:
        """Its memory."""
        found: dict[str, object] = json.loads(self._memory.read_text())
        return found

    def shares(self) -> Shares:
        """What it serves."""
        weights = self.told()["weights"]
        assert isinstance(weights, dict)
        return {version: weight / sum(weights.values()) for version, weight in weights.items()}

    def post(self, path: str, body: bytes = b"") -> None:
        """An order of another writer."""
        urllib.request.urlopen(urllib.request.Request(self.url + path, body, method="POST"), timeout=30).close()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.url, timeout=5).close()
        except OSError:
            return False
        return True


class FileRig(Rig):
    """A link, and a server that reads it when it is told to."""

    name = "file"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._link = directory / "current"
        self._server = LittleServer(directory, self._link)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The server."""
        self._link.symlink_to("models/v2")
        self._server.set({GOOD: 0, BAD: 1})
        self._server.start()
        try:
            yield
        finally:
            self._server.stop()

    def reset(self) -> None:
        """The link points to the bad version, and that is served."""
        self.deaf = False
        self._point("models/v2")
        self._server.set({GOOD: 0, BAD: 1})

    def _point(self, where: str) -> None:
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(where)

    @contextlib.asynccontextmanager
    async def reached(self, mode: str = OBEY) -> AsyncIterator[str]:
        """`refuse`: the file system does, as a name gets too long; the others are ways of the server to reload."""
        path = self._link
        if mode == REFUSE:
            path = self.directory / ("x" * 250)
            path.unlink(missing_ok=True)
            path.symlink_to("models/v2")
        else:
            self._server.treat(mode)
        patience = "300ms" if mode == HANG else "5s"
        where = f"path: {path}, values: {{v1: models/v1, v2: models/v2}}"
        yield f"{{type: file, {where}, reload: {{url: '{self._server.url}/reload'}}, timeout: {patience}}}"

    def truth(self) -> Shares:
        """What the server serves."""
        return self._server.shares()

    def effects(self) -> int:
        """Counted by the server."""
        return int(str(self._server.told()["effects"]))

    def revert(self) -> None:
        """Another link and another reload."""
        self._point("models/v2")
        self._server.post("/reload")

    def restart(self) -> None:
        """A new process reads the link."""
        self._server.start()


class HTTPRig(Rig):
    """A service that splits the traffic as it is told by POST, and tells by GET."""

    name = "http"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._server = LittleServer(directory, None)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The service."""
        self._server.set({GOOD: 90, BAD: 10})
        self._server.start()
        try:
            yield
        finally:
            self._server.stop()

    def reset(self) -> None:
        """The split before."""
        self.deaf = False
        self._server.set({GOOD: 90, BAD: 10})

    @contextlib.asynccontextmanager
    async def reached(self, mode: str = OBEY) -> AsyncIterator[str]:
        """The modes are the service's own."""
        self._server.treat(mode)
        patience, url = "300ms" if mode == HANG else "5s", f"{self._server.url}/"
        yield (
            f"{{type: http, url: '{url}', versions: {{v1: v1, v2: v2}}, fields: [weights, action_id], "
            f"read_back: {{url: '{url}', pointer: /weights, weights: true}}, timeout: {patience}}}"
        )

    def truth(self) -> Shares:
        """What the service serves."""
        return self._server.shares()

    def effects(self) -> int:
        """Counted by the service."""
        return int(str(self._server.told()["effects"]))

    def revert(self) -> None:
        """By a POST."""
        self._server.post("/", b'{"weights": {"v1": 90, "v2": 10}}')

    def restart(self) -> None:
        """A new process has the old memory."""
        self._server.start()


COMMAND = """#!/bin/sh
read -r order
desired=$(printf %s "$order" | /bin/sed 's/.*"desired":\\({{[^}}]*}}\\).*/\\1/')
{mode}
printf '{{"weights":%s}}' "$desired" >{directory}/new
/bin/mv {directory}/new {directory}/state
printf '%s\\n' "$desired" >>{directory}/log
{end}
"""
MODES = {
    REFUSE: "echo not now >&2; exit 3",
    HANG: "/bin/sleep 60",
    LIE: "exit 0",
    PARTLY: """desired='{"v1":100,"v2":10}'""",
}


class CommandRig(Rig):
    """A script that keeps the weights in a file."""

    name = "command"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._state, self._log, self._script = directory / "state", directory / "log", directory / "apply.sh"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Nothing runs between two calls."""
        yield

    def reset(self) -> None:
        """The weights before."""
        self.deaf = False
        self._state.write_text('{"weights":{"v1":90,"v2":10}}')
        self._log.write_text("")

    @contextlib.asynccontextmanager
    async def reached(self, mode: str = OBEY) -> AsyncIterator[str]:
        """The modes are the script's own."""
        end = "kill -9 $$" if mode == DIE else ""
        self._script.write_text(COMMAND.format(directory=self.directory, mode=MODES.get(mode, ""), end=end))
        self._script.chmod(0o755)
        patience = "300ms" if mode == HANG else "30s"
        argv = f"argv: [{self._script}], observe: [/bin/cat, {self._state}]"
        yield f"{{type: command, {argv}, versions: [v1, v2], weighted: true, timeout: {patience}}}"

    def truth(self) -> Shares:
        """What the file says."""
        weights = json.loads(self._state.read_text())["weights"]
        return {version: weight / sum(weights.values()) for version, weight in weights.items()}

    def effects(self) -> int:
        """Runs that took the traffic away."""
        runs = self._log.read_text().splitlines()
        turns = [one for one, before in zip(runs, ["", *runs], strict=False) if one != before]
        return sum('"v2":0' in one for one in turns)

    def revert(self) -> None:
        """Another hand on the file."""
        self._state.write_text('{"weights":{"v1":90,"v2":10}}')
        with self._log.open("a") as log:
            log.write('{"v1":90,"v2":10}\n')

    def restart(self) -> None:
        """It has no process between two calls."""
        raise AssertionError("a command cannot be restarted")


class MLflowRig(Rig):
    """A real MLflow server on SQLite behind a relay; a registered model for each cell."""

    name = "mlflow"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._model = ""
        self._effects = 0
        self._registry: Registry | None = None

    def share(self, registry: Registry) -> None:
        """Use a server that others use too; it takes 10 s to start one."""
        self._registry = registry

    @property
    def registry(self) -> Registry:
        """The server."""
        assert self._registry is not None
        return self._registry

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The server."""
        if self._registry is not None:
            yield
            return
        with mlflow_server(self.directory) as self._registry:
            yield

    def reset(self) -> None:
        """A new model, its alias at the bad version."""
        self.deaf, self._effects = False, 0
        self._model = f"clicks {next(NUMBERS)}"
        self.registry.register(self._model, 2)

    @contextlib.asynccontextmanager
    async def reached(self, mode: str = OBEY) -> AsyncIterator[str]:
        """`refuse`: the good version was deleted; `partly`: the alias moves, the servers do not reload."""
        if mode == REFUSE:
            self.registry.delete(self._model, 1)
        self.deaf = mode == PARTLY
        over = asyncio.Event()

        async def pass_on(request: web.Request) -> web.Response:
            body = await request.read()
            order = request.method == "POST"
            if order and mode == HANG:
                await over.wait()
            if order and mode == LIE:
                return web.json_response({})
            before = self.truth()[BAD] if order else 0.0
            url = f"{self.registry.url}{request.path_qs}"
            async with client.request(request.method, url, data=body, headers=CONTENT) as answer:
                text, status = await answer.read(), answer.status
            if order:
                self._effects += bool(before) and not self.truth()[BAD]
                if mode == DIE and request.transport is not None:
                    request.transport.close()
            return web.Response(body=text, status=status, content_type="application/json")

        patience = "1s" if mode == HANG else "30s"
        reload = f", reload: {{url: 'http://127.0.0.1:{free_port()}/'}}" if mode == PARTLY else ""
        async with aiohttp.ClientSession() as client, loopback(web.route("*", "/{path:.*}", pass_on)) as url:
            try:
                where = f"tracking_url: '{url}', name: '{self._model}', versions: {{v1: 1, v2: 2}}"
                yield f"{{type: mlflow, {where}, timeout: {patience}{reload}}}"
            finally:
                over.set()

    def truth(self) -> Shares:
        """Where the alias is, in the database: the server would take its time for so many questions."""
        with contextlib.closing(sqlite3.connect(self.registry.database, timeout=30.0)) as db:
            (number,) = db.execute(POINTED, (self._model,)).fetchone()
        return {GOOD: float(number == 1), BAD: float(number != 1)}

    def effects(self) -> int:
        """Counted by the relay, of where the alias then is."""
        return self._effects

    def revert(self) -> None:
        """By the API."""
        self.registry.point(self._model, 2)

    def restart(self) -> None:
        """The server process is ended hard, and a new one comes up over the same database."""
        self.registry.restart()
