"""The processes of one run: how each is started, in the order of the story's set-up.

Guarantee: nothing is started here, and every process listens on loopback only.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from mlcanary.demo.configuration import EXPORTER_PUBLISH, HANDLER_PORT, TARGET, Run
from mlcanary.demo.dataset import BASELINE, CANARY, HELDOUT_FILE, NEXT, REFERENCE_FILE
from mlcanary.demo.stack import Component, DemoError

_PYTHON = sys.executable
_MLCANARY = (_PYTHON, "-m", "mlcanary")
_SERVERS = {BASELINE: "BASELINE", CANARY: "CANARY", NEXT: "NEXT"}
"""Version -> the prefix of its variables in the template."""


class Processes:
    """The components of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def train_job(self) -> Component:
        """Makes both models and the rows."""
        return Component("training", (_PYTHON, "-m", "mlcanary.demo.training", str(self._run.models)))

    def profile_job(self) -> Component:
        """Makes the reference profile from the training rows."""
        reference = str(self._run.models / REFERENCE_FILE)
        return Component("profile", (*_MLCANARY, "profile", reference, "--output", str(self._run.profile)))

    def model_server(self, version: str) -> Component:
        """One version of the model; only the one that the story breaks can be broken."""
        port = self._run.ports.models[version]
        argv = (
            *(_PYTHON, "-m", "mlcanary.demo.sample_server"),
            *("--models", str(self._run.models), "--version", version),
            *("--log", str(self._run.predictions(version)), "--port", str(port)),
            *(("--faults.enable",) if version == self._run.cast.breakable else ()),
        )
        return Component(f"model-{version}", argv, self._run.url(port, "/healthz"))

    def exporter(self, version: str) -> Component:
        """The sidecar of one model server."""
        port = self._run.ports.exporters[version]
        argv = (
            *(*_MLCANARY, "exporter"),
            *("--log.path", str(self._run.predictions(version)), "--log.path", str(self._run.labels)),
            *("--config.file", str(self._run.exporter_config)),
            *("--state.path", str(self._run.directory / f"exporter-{version}.state")),
            *("--publish.interval", EXPORTER_PUBLISH, "--web.listen-address", f"127.0.0.1:{port}"),
        )
        return Component(f"exporter-{version}", argv, self._run.url(port, "/-/ready"))

    def haproxy(self) -> Component:
        """The router, with the weights that the story begins with."""
        ports = self._run.ports
        environment = {
            "PROXY_SOCKET": str(self._run.haproxy_socket),
            "PROXY_SOCKET_MODE": "600",
            "PROXY_ADDRESS": f"127.0.0.1:{ports.proxy}",
            "PROXY_METRICS_ADDRESS": f"127.0.0.1:{ports.proxy_metrics}",
        }
        for version, weight in self._run.cast.weights.items():
            environment[f"{_SERVERS[version]}_ADDRESS"] = f"127.0.0.1:{ports.models[version]}"
            environment[f"{_SERVERS[version]}_WEIGHT"] = str(weight)
        argv = (executable("haproxy"), "-db", "-f", str(haproxy_template()))
        return Component("haproxy", argv, self._run.url(ports.proxy_metrics, "/healthz"), environment)

    def prometheus(self) -> Component:
        """Prometheus with the shipped rules."""
        port = self._run.ports.prometheus
        argv = (
            executable("prometheus"),
            f"--config.file={self._run.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._run.directory / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        )
        return Component("prometheus", argv, self._run.url(port, "/-/ready"))

    def alertmanager(self) -> Component:
        """Alertmanager with the shipped configuration; without a cluster address it opens no other port."""
        port = self._run.ports.alertmanager
        argv = (
            executable("prometheus-alertmanager", "alertmanager"),
            f"--config.file={self._run.directory / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={self._run.directory / 'alertmanager-data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=info",
        )
        return Component("alertmanager", argv, self._run.url(port, "/-/ready"))

    def judge(self) -> Component:
        """The judge over Prometheus; ready once it has read."""
        port = self._run.ports.judge
        argv = (
            *(*_MLCANARY, "judge", "--config.file", str(self._run.directory / "judge.yml")),
            *("--state.path", str(self._run.directory / "judge.sqlite"), "--web.listen-address", f"127.0.0.1:{port}"),
        )
        return Component("judge", argv, self._run.url(port, "/-/ready"))

    def handler(self) -> Component:
        """The rollback handler, allowed to act."""
        argv = (
            *(*_MLCANARY, "handler", "--config.file", str(self._run.directory / "handler.yml")),
            *("--web.config.file", str(self._run.directory / "handler-web.yml")),
            *("--state.path", str(self._run.handler_state)),
            *("--web.listen-address", f"127.0.0.1:{HANDLER_PORT}"),
        )
        return Component("handler", argv, self._run.url(HANDLER_PORT, "/-/healthy"))

    def submit(self, version: str) -> Component:
        """The command that a person gives: release a version, and wait until the order is carried out."""
        reason = f"demo: release {version}"
        argv = (
            *(*_MLCANARY, "handler", "submit", TARGET, version, "--wait", "--reason", reason),
            *("--url", self._run.url(HANDLER_PORT), "--token.file", str(self._run.token)),
        )
        return Component(f"submit-{version}", argv)

    def verify_audit(self) -> Component:
        """The command that checks the handler's audit."""
        return Component("explain", (*_MLCANARY, "explain", "--verify", str(self._run.handler_state)))

    def traffic(self, rate: float) -> Component:
        """The client, `rate` requests per second through HAProxy."""
        rows = self._run.models / HELDOUT_FILE
        argv = (
            *(_PYTHON, "-m", "mlcanary.demo.traffic"),
            *("--url", self._run.url(self._run.ports.proxy, "/predict"), "--rows", str(rows)),
            *("--labels", str(self._run.labels), "--figures", str(self._run.traffic_figures), "--rate", f"{rate:g}"),
        )
        return Component("traffic", argv)


def haproxy_template() -> Path:
    """The HAProxy configuration; its values come from the environment."""
    return Path(__file__).with_name("haproxy.cfg")


def executable(*names: str) -> str:
    """The first of these programs that is installed. Raises DemoError that says what to install."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
        if found:
            return found
    raise DemoError(
        f"{names[0]} is not installed",
        hint="sudo apt-get install --no-install-recommends prometheus prometheus-alertmanager haproxy",
    )
