"""Where everything of one run lives, and the configuration files that its parts are started with.

Guarantee: rules and the Alertmanager configuration are the shipped files, byte for byte; only addresses,
intervals and the handler's target are written here. All paths lie inside one run directory.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlcanary import bundle
from mlcanary.demo.dataset import BASELINE, CANARY, HELDOUT_FILE, MODEL, REFERENCE_FILE
from mlcanary.demo.stack import Component, DemoError, free_ports, is_free

HANDLER_PORT = 10879
"""Fixed by the shipped Alertmanager configuration."""

WEIGHTS: Mapping[str, int] = {BASELINE: 90, CANARY: 10}
ROLES: Mapping[str, str] = {BASELINE: "baseline", CANARY: "canary"}
EXPORTER_PUBLISH = "1s"
SCRAPE_INTERVAL = "2s"

JUDGING: Mapping[str, Any] = {
    "interval": "4s",
    "settle": "1s",
    "defaults": {
        "warm_up": "0s",
        "block_seconds": "8s",
        "weights": {"errors": 0.2, "quality": 0.4, "features": 0.4},
    },
}
"""A look at every second scrape, from the first request on. Latency only informs: every process of the demo shares one
machine, and on a busy one a version is slow because of its neighbours."""

VERIFICATION = {"window": "10s", "windows": 2, "min_predictions": 100, "deadline": "90s"}
"""Two windows of ten seconds after the effect: short, as 1,200 requests pass in each."""

_PYTHON = sys.executable
_MLCANARY = (_PYTHON, "-m", "mlcanary")


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports of one run; the handler's is fixed."""

    models: Mapping[str, int]
    exporters: Mapping[str, int]
    proxy: int
    proxy_metrics: int
    prometheus: int
    alertmanager: int
    judge: int

    @classmethod
    def choose(cls) -> Ports:
        """Free ports. Raises DemoError when the handler's fixed port is taken."""
        if not is_free(HANDLER_PORT):
            raise DemoError(
                f"port {HANDLER_PORT} on loopback is taken, and the shipped Alertmanager configuration sends its "
                "webhooks there",
                hint=f"end the program that listens on {HANDLER_PORT} (another demo or handler?) and try again",
            )
        chosen = free_ports(9)
        return cls(
            models={BASELINE: chosen[0], CANARY: chosen[1]},
            exporters={BASELINE: chosen[2], CANARY: chosen[3]},
            proxy=chosen[4],
            proxy_metrics=chosen[5],
            prometheus=chosen[6],
            alertmanager=chosen[7],
            judge=chosen[8],
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its directory and its ports."""

    directory: Path
    ports: Ports

    @property
    def models(self) -> Path:
        """Models, held-out rows, reference and profile."""
        return self.directory / "models"

    @property
    def profile(self) -> Path:
        """The reference profile that both exporters read."""
        return self.models / "profile.json"

    @property
    def labels(self) -> Path:
        """The label lines that the client writes and both exporters read."""
        return self.directory / "labels.jsonl"

    @property
    def traffic_figures(self) -> Path:
        """The client's accounting."""
        return self.directory / "traffic.json"

    @property
    def haproxy_socket(self) -> Path:
        """HAProxy's runtime socket."""
        return self.directory / "haproxy.sock"

    @property
    def token(self) -> Path:
        """The bearer token that Alertmanager and the handler share."""
        return self.directory / "alertmanager" / "secrets" / "handler_token"

    @property
    def handler_state(self) -> Path:
        """The handler's ledger, which holds the audit."""
        return self.directory / "handler.sqlite"

    def predictions(self, version: str) -> Path:
        """The log of a model server."""
        return self.directory / f"predictions-{version}.jsonl"

    def url(self, port: int, path: str = "") -> str:
        """A loopback URL."""
        return f"http://127.0.0.1:{port}{path}"

    def addresses(self) -> list[tuple[str, str]]:
        """What to open or read while the run goes on."""
        ports = self.ports
        return [
            ("Prometheus", self.url(ports.prometheus, "/alerts")),
            ("Alertmanager", self.url(ports.alertmanager)),
            *((f"exporter {version}", self.url(port)) for version, port in ports.exporters.items()),
            ("judge", self.url(ports.judge)),
            ("handler", f"{self.url(HANDLER_PORT, '/metrics')} (bearer token in {self.token})"),
            ("HAProxy metrics", self.url(ports.proxy_metrics, "/metrics")),
            ("HAProxy socket", f"echo 'get weight models/{CANARY}' | nc -U {self.haproxy_socket}"),
            ("predictions", self.url(ports.proxy, "/predict")),
            ("logs", str(self.directory / "logs")),
        ]

    def write(self) -> None:
        """Write every configuration file of the run."""
        self.models.mkdir()
        bundle.export(self.directory)
        self.token.parent.mkdir(mode=0o700)
        self.token.touch(mode=0o600)
        self.token.write_text(secrets.token_urlsafe(32), encoding="ascii")
        self._write_yaml("prometheus.yml", self._prometheus())
        self._write_yaml("handler.yml", self._handler())
        self._write_yaml("judge.yml", {"prometheus": {"url": self.url(self.ports.prometheus)}, **JUDGING})
        self._write_yaml("handler-web.yml", {"bearer_token_file": str(self.token)})

    def _write_yaml(self, name: str, document: object) -> None:
        (self.directory / name).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    def _prometheus(self) -> dict[str, Any]:
        def job(name: str, *ports: int, **rest: object) -> dict[str, Any]:
            targets = [f"127.0.0.1:{port}" for port in ports]
            return {"job_name": name, "static_configs": [{"targets": targets}], **rest}

        ports = self.ports
        authorization = {"type": "Bearer", "credentials_file": str(self.token)}
        return {
            "global": {
                "scrape_interval": SCRAPE_INTERVAL,
                "scrape_timeout": SCRAPE_INTERVAL,
                "evaluation_interval": SCRAPE_INTERVAL,
            },
            "rule_files": ["rules/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports.alertmanager}"]}]}]},
            "scrape_configs": [
                job("mlcanary-exporter", *ports.exporters.values()),
                job("mlcanary-handler", HANDLER_PORT, authorization=authorization),
                job("mlcanary-judge", ports.judge, honor_labels=True),
                job("haproxy", ports.proxy_metrics),
            ],
        }

    def _handler(self) -> dict[str, Any]:
        return {
            "prometheus": {"url": self.url(self.ports.prometheus)},
            "targets": [
                {
                    "name": "router",
                    "model": MODEL,
                    "mode": "react",
                    "target": {
                        "type": "haproxy",
                        "socket": str(self.haproxy_socket),
                        "backend": "models",
                        "servers": {BASELINE: BASELINE, CANARY: CANARY},
                    },
                    "verification": VERIFICATION,
                }
            ],
        }

    # --- the processes, in the order in which they are started

    def train_job(self) -> Component:
        """Makes both models and the rows."""
        return Component("training", (_PYTHON, "-m", "mlcanary.demo.training", str(self.models)))

    def profile_job(self) -> Component:
        """Makes the reference profile from the training rows."""
        reference = str(self.models / REFERENCE_FILE)
        return Component("profile", (*_MLCANARY, "profile", reference, "--output", str(self.profile)))

    def model_server(self, version: str) -> Component:
        """One version of the model; only the canary can be broken."""
        port = self.ports.models[version]
        argv = (
            *(_PYTHON, "-m", "mlcanary.demo.sample_server"),
            *("--models", str(self.models), "--version", version),
            *("--log", str(self.predictions(version)), "--port", str(port)),
            *(("--faults.enable",) if version == CANARY else ()),
        )
        return Component(f"model-{version}", argv, self.url(port, "/healthz"))

    def exporter(self, version: str) -> Component:
        """The sidecar of one model server."""
        port = self.ports.exporters[version]
        argv = (
            *(*_MLCANARY, "exporter"),
            *("--log.path", str(self.predictions(version)), "--log.path", str(self.labels)),
            *("--model.role", ROLES[version], "--reference.path", str(self.profile)),
            *("--state.path", str(self.directory / f"exporter-{version}.state")),
            *("--publish.interval", EXPORTER_PUBLISH, "--web.listen-address", f"127.0.0.1:{port}"),
        )
        return Component(f"exporter-{version}", argv, self.url(port, "/-/ready"))

    def haproxy(self) -> Component:
        """The router, with the weights of the release."""
        ports = self.ports
        environment = {
            "PROXY_SOCKET": str(self.haproxy_socket),
            "PROXY_SOCKET_MODE": "600",
            "PROXY_ADDRESS": f"127.0.0.1:{ports.proxy}",
            "PROXY_METRICS_ADDRESS": f"127.0.0.1:{ports.proxy_metrics}",
            "BASELINE_ADDRESS": f"127.0.0.1:{ports.models[BASELINE]}",
            "CANARY_ADDRESS": f"127.0.0.1:{ports.models[CANARY]}",
            "BASELINE_WEIGHT": str(WEIGHTS[BASELINE]),
            "CANARY_WEIGHT": str(WEIGHTS[CANARY]),
        }
        argv = (executable("haproxy"), "-db", "-f", str(haproxy_template()))
        return Component("haproxy", argv, self.url(ports.proxy_metrics, "/healthz"), environment)

    def prometheus(self) -> Component:
        """Prometheus with the shipped rules."""
        port = self.ports.prometheus
        argv = (
            executable("prometheus"),
            f"--config.file={self.directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.directory / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        )
        return Component("prometheus", argv, self.url(port, "/-/ready"))

    def alertmanager(self) -> Component:
        """Alertmanager with the shipped configuration; without a cluster address it opens no other port."""
        port = self.ports.alertmanager
        argv = (
            executable("prometheus-alertmanager", "alertmanager"),
            f"--config.file={self.directory / 'alertmanager' / 'alertmanager.yml'}",
            f"--storage.path={self.directory / 'alertmanager-data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=info",
        )
        return Component("alertmanager", argv, self.url(port, "/-/ready"))

    def judge(self) -> Component:
        """The judge over Prometheus; ready once it has read."""
        port = self.ports.judge
        argv = (
            *(*_MLCANARY, "judge", "--config.file", str(self.directory / "judge.yml")),
            *("--state.path", str(self.directory / "judge.sqlite"), "--web.listen-address", f"127.0.0.1:{port}"),
        )
        return Component("judge", argv, self.url(port, "/-/ready"))

    def handler(self) -> Component:
        """The rollback handler, allowed to act."""
        argv = (
            *(*_MLCANARY, "handler", "--config.file", str(self.directory / "handler.yml")),
            *("--web.config.file", str(self.directory / "handler-web.yml")),
            *("--state.path", str(self.handler_state)),
            *("--web.listen-address", f"127.0.0.1:{HANDLER_PORT}"),
        )
        return Component("handler", argv, self.url(HANDLER_PORT, "/-/healthy"))

    def traffic(self, rate: float) -> Component:
        """The client, `rate` requests per second through HAProxy."""
        argv = (
            *(_PYTHON, "-m", "mlcanary.demo.traffic"),
            *("--url", self.url(self.ports.proxy, "/predict"), "--rows", str(self.models / HELDOUT_FILE)),
            *("--labels", str(self.labels), "--figures", str(self.traffic_figures), "--rate", f"{rate:g}"),
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
