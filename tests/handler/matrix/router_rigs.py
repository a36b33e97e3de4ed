"""HAProxy and nginx as rigs."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from handler.matrix.rigs import HANG, LIE, OBEY, PARTLY, REFUSE, SHARED, Rig, Shares
from handler_world import BAD, GOOD, HAProxy, Process, running
from mlcanary.handler.targets.contract import State
from mlcanary.handler.targets.nginx import render
from nginx_world import BINARY, Nginx, digest_of

BEFORE, AFTER = State.of({GOOD: 90, BAD: 10}), State.of({GOOD: 100, BAD: 0})


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for a part that is started or reloaded."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)


class HAProxyRig(Rig):
    """A relay on a socket of its own passes lines on to the real one; the fault is what it does with orders."""

    name = "haproxy"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.haproxy = HAProxy(directory)
        self._socket = str(directory / "relay.sock")
        self._mode = OBEY
        self._effects = 0
        self._stack = contextlib.ExitStack()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """HAProxy."""
        self._stack.enter_context(self.haproxy.running())
        try:
            yield
        finally:
            self._stack.close()

    def reset(self) -> None:
        """Weights of the file."""
        self.haproxy.ask("set server models/stable state ready")
        self.revert()
        self.deaf, self._effects = False, 0

    @contextlib.asynccontextmanager
    async def reached(self, mode: str = OBEY) -> AsyncIterator[str]:
        """`refuse` is HAProxy's own word: the good server is in maintenance."""
        if mode == REFUSE:
            self.haproxy.ask("set server models/stable state maint")
        self._mode, over = mode, asyncio.Event()

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = (await reader.readline()).decode().strip()
            if "set " in line and mode == HANG:
                await over.wait()
            else:
                writer.write(self._obey(line).encode())
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            writer.close()

        server = await asyncio.start_unix_server(pass_on, self._socket)  # it takes the place of an old socket
        try:
            patience = ", timeout: 300ms}" if mode == HANG else "}"
            yield self.haproxy.section().replace(self.haproxy.socket, self._socket)[:-1] + patience
        finally:
            over.set()
            server.close()

    def _obey(self, line: str) -> str:
        if "set " not in line:
            return self.haproxy.ask(line)
        if self._mode == LIE:
            return "\n"
        bad = self.haproxy.weights()[BAD]
        answer = self.haproxy.ask(line.partition(";")[0] if self._mode == PARTLY else line)
        self._effects += bool(bad) and not self.haproxy.weights()[BAD]
        return answer

    def truth(self) -> Shares:
        """By the weights."""
        return self.haproxy.shares()

    def effects(self) -> int:
        """Counted by the relay, of what HAProxy then has."""
        return self._effects

    def revert(self) -> None:
        """By the runtime API."""
        self.haproxy.ask("set weight models/stable 90; set weight models/canary 10")

    def restart(self) -> None:
        """A new process has the weights of its file."""
        self._stack.close()
        self._stack.enter_context(self.haproxy.running())


class NginxRig(Rig):
    """The command between handler and nginx is a script; what passes the real `nginx -t` it notes down."""

    name = "nginx"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.nginx = Nginx(directory)
        self._good_config = self.nginx.config.read_text()
        self._wrapper, self._passed = directory / "nginx.sh", directory / "passed"
        texts = {state: render(self.nginx.settings(), state) for state in (BEFORE, AFTER)}
        self._before = texts[BEFORE]
        self._digests = {digest_of(text): state for state, text in texts.items()}
        self._other = directory / "other.pid"
        self._stack = contextlib.ExitStack()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """nginx."""
        self.nginx.include.write_text(self._before)
        self._start()
        try:
            yield
        finally:
            self._stack.close()

    def _start(self) -> None:
        argv = [BINARY, "-e", str(self.directory / "error.log"), "-c", str(self.nginx.config)]
        self.process: Process = self._stack.enter_context(running(argv, stderr=subprocess.DEVNULL))
        wait_for(lambda: self.nginx.serves() in self._digests)

    def reset(self) -> None:
        """The file before, in force, by one set of workers."""
        self.deaf = False
        self.nginx.config.write_text(self._good_config)
        for name in self.nginx.left():
            (self.directory / name).unlink()
        self._passed.write_text("")
        self.revert()
        wait_for(lambda: len(self.nginx.workers()) == 1)
        self._passed.write_text("")

    @contextlib.asynccontextmanager
    async def reached(self, mode: str = OBEY) -> AsyncIterator[str]:
        """`refuse`: a mistake of somebody in another file; `lie`: the same, and a test that does not see it; `partly`:
        the file is swapped, and the signal goes to a process that is not nginx.
        """
        run = f'{BINARY} "$@" || exit $?\n'
        note = f'/bin/grep -o "default [0-9a-f]*" {self.nginx.include} >>{self._passed}\n'
        script = {HANG: "/bin/sleep 60\n", LIE: "exit 0\n", PARTLY: run}.get(mode, run + note)
        self._wrapper.write_text(f"#!/bin/sh\n{script}")
        self._wrapper.chmod(0o755)
        section = self.nginx.section(command=str(self._wrapper))
        if mode in (REFUSE, LIE):
            self.nginx.config.write_text(self._good_config + "nonsense;\n")
        with contextlib.ExitStack() as others:
            if mode == PARTLY:
                sleeper = others.enter_context(running(["/bin/sleep", "600"]))
                self._other.write_text(str(sleeper.popen.pid))
                section = section.replace(str(self.nginx.pid_file), str(self._other))
            yield section[:-1] + (", timeout: 1s}" if mode == HANG else "}")

    def truth(self) -> Shares:
        """By the split in force."""
        state = self._digests.get(self.nginx.serves())
        return {GOOD: state.share(GOOD), BAD: state.share(BAD)} if state is not None else SHARED

    def effects(self) -> int:
        """Splits that passed the test, each counted once until another one did."""
        seen = [line.split()[1] for line in self._passed.read_text().splitlines()]
        turns = [one for one, before in zip(seen, ["", *seen], strict=False) if one != before]
        return sum(self._digests.get(one) == AFTER for one in turns)

    def revert(self) -> None:
        """By a file and a reload of one's own."""
        self.nginx.include.write_text(self._before)
        self.process.popen.send_signal(signal.SIGHUP)
        wait_for(lambda: self._digests.get(self.nginx.serves()) == BEFORE)
        with self._passed.open("a") as passed:
            passed.write(f"default {digest_of(self._before)}\n")

    def restart(self) -> None:
        """A new master and new workers read the file."""
        self._stack.close()
        self._start()
