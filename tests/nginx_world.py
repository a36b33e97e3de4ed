"""A real nginx with the shipped snippet: two upstreams that say their version, and a split that the target owns."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import requests

from handler_world import Process, free_port, running, until
from mlcanary.documents import Seconds
from mlcanary.handler.targets.contract import State
from mlcanary.handler.targets.nginx import NginxSettings, NginxTarget, Status, render

BINARY = shutil.which("nginx") or "/usr/sbin/nginx"
UPSTREAMS = {"v1": "models_v1", "v2": "models_v2"}


class Nginx:
    """`port` is where users go; `config` and `include` may be written by a test before `running`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config, self.include = directory / "nginx.conf", directory / "split.conf"
        self.pid_file, self.port = directory / "nginx.pid", free_port()
        status, ports = free_port(), {version: free_port() for version in UPSTREAMS}
        self.status_url = f"http://127.0.0.1:{status}/mlcanary_split"
        snippet = shipped(
            "nginx-split.conf",
            {
                "include /etc/nginx/mlcanary/split.conf;": f"include {self.include};",
                "server 10.0.0.11:8000;": f"server 127.0.0.1:{ports['v1']};",
                "server 10.0.0.12:8000;": f"server 127.0.0.1:{ports['v2']};",
                "listen 8080;": f"listen 127.0.0.1:{self.port};",
                "listen 127.0.0.1:8081;": f"listen 127.0.0.1:{status};",
            },
        )
        models = "".join(
            f'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{version}"; }} }}\n'
            for version, port in ports.items()
        )
        temporary = "".join(
            f"{kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.config.write_text(
            f"daemon off;\nworker_processes 1;\nworker_shutdown_timeout 2s;\npid {self.pid_file};\n"
            f"error_log {directory}/error.log;\nevents {{}}\n"
            f"http {{\naccess_log off;\nkeepalive_requests 1000000;\n{temporary}{snippet}{models}}}\n"
        )

    def settings(self, **changes: object) -> NginxSettings:
        """The target's section: of the snippet, with this nginx's paths."""
        given: dict[str, object] = {
            "include": str(self.include),
            "key": "$mlcanary_key",
            "versions": UPSTREAMS,
            "command": (BINARY,),
            "config": str(self.config),
            "pid_file": str(self.pid_file),
            "status": Status(url=self.status_url),
            "timeout": Seconds(10.0),
            **changes,
        }
        return NginxSettings(**given)  # type: ignore[arg-type]

    def section(self, *, command: str = BINARY) -> str:
        """The target's section in the handler's configuration."""
        return (
            f"{{type: nginx, include: {self.include}, key: $mlcanary_key, versions: {{v1: models_v1, v2: models_v2}}, "
            f"command: [{command}], config: {self.config}, pid_file: {self.pid_file}, "
            f"status: {{url: '{self.status_url}'}}}}"
        )

    def serves(self) -> str:
        """The digest of the split in force; empty if nobody answers."""
        try:
            return requests.get(self.status_url, timeout=5).text
        except requests.RequestException:
            return ""

    @contextlib.contextmanager
    def running(self, split: State) -> Iterator[Process]:
        """The process for the length of the block, once the split is in force."""
        self.include.write_text(render(self.settings(), split))
        argv = [BINARY, "-e", str(self.directory / "error.log"), "-c", str(self.config)]
        with running(argv, stderr=subprocess.DEVNULL) as process:
            yield process

    async def in_force(self, target: NginxTarget, split: State) -> None:
        """Wait until the new workers serve this split, and the old ones nobody."""
        await until(lambda: self._serves(target, split))
        await until(lambda: len(self.workers()) == 1)

    async def _serves(self, target: NginxTarget, split: State) -> bool:
        with contextlib.suppress(Exception):
            return await target.observe() == split
        return False

    def workers(self) -> list[str]:
        """Process ids of the workers, old and new."""
        master = self.pid_file.read_text().strip()
        return Path(f"/proc/{master}/task/{master}/children").read_text().split()

    def left(self) -> list[str]:
        """Hidden files beside the include: what an action left."""
        return sorted(path.name for path in self.directory.iterdir() if path.name.startswith("."))


def digest_of(text: str) -> str:
    """The digest that an include file gives to nginx."""
    return text.rpartition("default ")[2].partition(";")[0]


def shipped(name: str, changes: dict[str, str]) -> str:
    """A snippet with addresses of the test in the place of those to be changed."""
    text = files("mlcanary.handler").joinpath("snippets", name).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(f"{old}\n") == 1, f"{old} is not once in {name}"
        text = text.replace(f"{old}\n", f"{new}\n")
    return text
