"""Where everything of one run lives, and the configuration files that its parts are started with.

Guarantee: rules and the Alertmanager configuration are the shipped files, byte for byte; only addresses,
intervals and the handler's target are written here. All paths lie inside one run directory.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlcanary import bundle
from mlcanary.demo.casts import Cast
from mlcanary.demo.dataset import MODEL, model_file
from mlcanary.demo.stack import DemoError, free_ports, is_free

HANDLER_PORT = 10879
"""Fixed by the shipped Alertmanager configuration."""

TARGET = "router"
"""The handler's name for HAProxy."""

EXPORTER_PUBLISH = "1s"
SCRAPE_INTERVAL = "2s"


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
    def choose(cls, versions: Sequence[str]) -> Ports:
        """Free ports for these versions of the model. Raises DemoError when the handler's fixed port is taken."""
        if not is_free(HANDLER_PORT):
            raise DemoError(
                f"port {HANDLER_PORT} on loopback is taken, and the shipped Alertmanager configuration sends its "
                "webhooks there",
                hint=f"end the program that listens on {HANDLER_PORT} (another demo or handler?) and try again",
            )
        count = len(versions)
        chosen = free_ports(2 * count + 5)
        proxy, proxy_metrics, prometheus, alertmanager, judge = chosen[2 * count :]
        return cls(
            models=dict(zip(versions, chosen[:count], strict=True)),
            exporters=dict(zip(versions, chosen[count : 2 * count], strict=True)),
            proxy=proxy,
            proxy_metrics=proxy_metrics,
            prometheus=prometheus,
            alertmanager=alertmanager,
            judge=judge,
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its directory, its ports and who plays."""

    directory: Path
    ports: Ports
    cast: Cast

    @property
    def models(self) -> Path:
        """Models, held-out rows, reference and profile."""
        return self.directory / "models"

    @property
    def profile(self) -> Path:
        """The reference profile that every exporter reads."""
        return self.models / "profile.json"

    @property
    def exporter_config(self) -> Path:
        """The configuration that all sidecars share: who has which role."""
        return self.directory / "exporter.yml"

    @property
    def labels(self) -> Path:
        """The label lines that the client writes and every exporter reads."""
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
            ("HAProxy socket", f"echo 'get weight models/{self.cast.breakable}' | nc -U {self.haproxy_socket}"),
            ("predictions", self.url(ports.proxy, "/predict")),
            ("logs", str(self.directory / "logs")),
        ]

    def write(self) -> None:
        """Write every configuration file of the run. The models are there: the handler is told their digests."""
        bundle.export(self.directory)
        self.token.parent.mkdir(mode=0o700)
        self.token.touch(mode=0o600)
        self.token.write_text(secrets.token_urlsafe(32), encoding="ascii")
        self.write_roles(self.cast.roles)
        self.write_scraped(self.cast.roles)
        self._write_yaml("prometheus.yml", self._prometheus())
        self._write_yaml("handler.yml", self._handler())
        self._write_yaml("judge.yml", {"prometheus": {"url": self.url(self.ports.prometheus)}, **self.cast.judging})
        self._write_yaml("handler-web.yml", {"bearer_token_file": str(self.token)})

    def write_roles(self, roles: Mapping[str, str]) -> None:
        """Say who is baseline and who canary; sidecars that run must be told to read it again."""
        model = {"name": MODEL, "reference": str(self.profile), "roles": dict(roles)}
        self._write_yaml(self.exporter_config.name, {"models": [model]})

    def write_scraped(self, versions: Iterable[str]) -> None:
        """Say which sidecars Prometheus scrapes; it looks by itself when the file changes."""
        targets = [f"127.0.0.1:{self.ports.exporters[version]}" for version in versions]
        partial = self.directory / "exporters.partial"
        partial.write_text(json.dumps([{"targets": targets}]), encoding="utf-8")
        partial.replace(self.directory / "exporters.json")

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
                "evaluation_interval": self.cast.rules_every,
            },
            "rule_files": ["rules/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports.alertmanager}"]}]}]},
            "scrape_configs": [
                {"job_name": "mlcanary-exporter", "file_sd_configs": [{"files": ["exporters.json"]}]},
                job("mlcanary-handler", HANDLER_PORT, authorization=authorization),
                job("mlcanary-judge", ports.judge, honor_labels=True),
                job("haproxy", ports.proxy_metrics),
            ],
        }

    def _handler(self) -> dict[str, Any]:
        versions = list(self.cast.weights)
        router = {
            "type": "haproxy",
            "socket": str(self.haproxy_socket),
            "backend": "models",
            "servers": {version: version for version in versions},
        }
        digests = {version: _digest(model_file(self.models, version)) for version in versions}
        target = {"name": TARGET, "model": MODEL, "target": router, "digests": digests, **self.cast.handling}
        return {"prometheus": {"url": self.url(self.ports.prometheus)}, "targets": [target]}


def _digest(artefact: Path) -> str:
    return f"sha256:{hashlib.sha256(artefact.read_bytes()).hexdigest()[:16]}"
