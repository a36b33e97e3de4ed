"""Reads what the running parts say about themselves. Changes nothing.

Guarantee: each reader asks the real interface (Prometheus' HTTP API, HAProxy's runtime socket, a process's
/metrics, a log file) and answers with plain values; a part that does not answer raises `DemoError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from mlcanary.catalog import ACTION_LABEL, ACTION_ROLLBACK
from mlcanary.demo.dataset import MODEL
from mlcanary.demo.stack import DemoError
from mlcanary.handler.ledger import audit
from mlcanary.handler.ledger.audit import AuditRow

_MANY_ROWS = 10_000
_WINDOW = "30s"
_CORRECT = " or ".join(
    f'rate(mlcanary_labeled_predictions_total{{model="{MODEL}",actual="{c}",predicted="{c}"}}[{_WINDOW}])'
    for c in (0, 1)
)
_LABELED = f'sum by (version) (rate(mlcanary_labeled_predictions_total{{model="{MODEL}"}}[{_WINDOW}]))'
ACCURACY = f"sum by (version) ({_CORRECT}) / ({_LABELED} > 0)"
"""Share of right answers by version over the last half minute; rules look at 5 minutes and more."""

PREDICTIONS = f'sum by (version) (rate(mlcanary_predictions_total{{model="{MODEL}"}}[20s]))'
VERDICT = f'mlcanary_judge_verdict{{model="{MODEL}"}} == 1'
"""What the judge says of each canary; the label `verdict` tells."""

ROLES = f'group by (version, role) (mlcanary_model_info{{model="{MODEL}"}})'
"""Who plays which part, as the exporters say."""

LABELS = f'sum(rate(mlcanary_labeled_predictions_total{{model="{MODEL}"}}[20s]))'
"""Per second over the last twenty seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class RollbackAlert:
    """An alert that asks for a rollback, as Prometheus sees it. `since` is when its condition became true."""

    name: str
    version: str
    window: str
    state: str
    since: float


class Prometheus:
    """Prometheus' HTTP API at `url`."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def query(self, expression: str) -> list[Sample]:
        """The vector of an instant query."""
        data = await self._get("query", {"query": expression})
        return [Sample(row["metric"], float(row["value"][1])) for row in data["result"]]

    async def by_version(self, expression: str) -> dict[str, float]:
        """The values of a vector that has one series per version."""
        return {sample.labels["version"]: sample.value for sample in await self.query(expression)}

    async def rollback_alerts(self) -> list[RollbackAlert]:
        """Alerts with action="rollback" that are pending or firing right now."""
        data = await self._get("alerts", {})
        return [
            RollbackAlert(
                name=row["labels"]["alertname"],
                version=row["labels"].get("version", ""),
                window=row["labels"].get("window", ""),
                state=row["state"],
                since=parse_timestamp(row["activeAt"]),
            )
            for row in data["alerts"]
            if row["labels"].get(ACTION_LABEL) == ACTION_ROLLBACK and row["state"] != "inactive"
        ]

    async def rollback_alert_history(self, start: float, end: float) -> dict[str, set[str]]:
        """State ("pending", "firing") -> names of rollback alerts in it at any second of the span."""
        data = await self._get(
            "query_range",
            {
                "query": f'ALERTS{{{ACTION_LABEL}="{ACTION_ROLLBACK}"}}',
                "start": f"{start:.3f}",
                "end": f"{end:.3f}",
                "step": "1",
            },
        )
        history: dict[str, set[str]] = {"pending": set(), "firing": set()}
        for row in data["result"]:
            history[row["metric"]["alertstate"]].add(row["metric"]["alertname"])
        return history

    async def verdict_history(self, start: float, end: float) -> set[str]:
        """Verdicts that the judge had given at any second of the span."""
        span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": "1"}
        data = await self._get("query_range", {"query": VERDICT, **span})
        return {row["metric"]["verdict"] for row in data["result"]}

    async def loaded_rules(self) -> int:
        """Rules that Prometheus evaluates."""
        data = await self._get("rules", {})
        return sum(len(group["rules"]) for group in data["groups"])

    async def down_targets(self) -> list[str]:
        """Scrape targets that are not up."""
        data = await self._get("targets", {"state": "active"})
        return [row["scrapeUrl"] for row in data["activeTargets"] if row["health"] != "up"]

    async def _get(self, endpoint: str, parameters: Mapping[str, str]) -> Any:
        try:
            async with self._session.get(f"{self._url}/api/v1/{endpoint}", params=parameters) as response:
                body = await response.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DemoError(
                f"Prometheus did not answer {endpoint}: {str(error) or type(error).__name__}", component="prometheus"
            ) from error
        if body.get("status") != "success":
            raise DemoError(f"Prometheus refused {endpoint}: {body.get('error')}", component="prometheus")
        return body["data"]


async def read_verdict(session: aiohttp.ClientSession, url: str) -> dict[str, Any] | None:
    """What the judge itself says of a canary, None while it knows none. Raises DemoError."""
    try:
        async with session.get(url) as response:
            return dict(await response.json()) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DemoError(
            f"the judge did not answer {url}: {str(error) or type(error).__name__}", component="judge"
        ) from error


async def read_metrics(
    session: aiohttp.ClientSession, url: str, component: str, headers: Mapping[str, str] | None = None
) -> list[Sample]:
    """Every sample of a /metrics page; the metric's name is the label `__name__`."""
    try:
        async with session.get(url, headers=headers, raise_for_status=True) as response:
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise DemoError(
            f"{component} did not answer {url}: {str(error) or type(error).__name__}", component=component
        ) from error
    return [
        Sample({**sample.labels, "__name__": sample.name}, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]


def total(samples: Sequence[Sample], name: str, **labels: str) -> float:
    """Sum of a metric's samples that carry these labels; 0 if there is none.

    >>> total([Sample({"__name__": "a", "b": "1"}, 2.0), Sample({"__name__": "a"}, 3.0)], "a", b="1")
    2.0
    """
    wanted = {"__name__": name, **labels}
    return sum(sample.value for sample in samples if wanted.items() <= sample.labels.items())


def rollback_outcome(samples: Sequence[Sample]) -> str | None:
    """How the handler's one incident ended, None if none or several did."""
    ended = [s for s in samples if s.labels["__name__"] == "mlcanary_rollbacks_total" and s.value]
    return ended[0].labels["outcome"] if len(ended) == 1 else None


async def read_weights(socket_path: Path, versions: Sequence[str]) -> dict[str, int]:
    """Effective weight of each server of backend `models`, by HAProxy's runtime socket. Raises DemoError."""
    weights = {}
    for version in versions:
        answer = await _ask_haproxy(socket_path, f"get weight models/{version}")
        value = answer.partition(" ")[0]
        if not value.isdigit():
            raise DemoError(f"HAProxy answered {answer!r} for models/{version}", component="haproxy")
        weights[version] = int(value)
    return weights


async def is_running(socket_path: Path, version: str) -> bool:
    """Whether a server of backend `models` passes HAProxy's health check. Raises DemoError."""
    rows = (await _ask_haproxy(socket_path, "show servers state models")).splitlines()
    states = {row.split()[3]: row.split()[5] for row in rows if len(row.split()) > 5 and not row.startswith("#")}
    return states.get(version) == "2"


async def _ask_haproxy(socket_path: Path, command: str) -> str:
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket_path))
        writer.write(f"{command}\n".encode())
        answer = (await reader.read()).decode().strip()
        writer.close()
        await writer.wait_closed()
    except OSError as error:
        raise DemoError(f"HAProxy's runtime socket: {error}", component="haproxy") from error
    return answer


class Audit:
    """The handler's audit, read from its ledger while it runs, without ever writing to it."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger

    def rows(self) -> list[AuditRow]:
        """Every row, oldest first."""
        with contextlib.closing(self._open()) as db:
            return audit.newest(db, _MANY_ROWS)[::-1]

    def confirmed_effects(self) -> int | None:
        """Changes that the audit calls confirmed; None when its hash chain does not hold."""
        with contextlib.closing(self._open()) as db:
            if audit.verify(db) is not None:
                return None
        bodies = [msgspec.json.decode(row.body) for row in self.rows() if row.kind == "effect"]
        return len([body for body in bodies if body["state"] == "confirmed"])

    def _open(self) -> sqlite3.Connection:
        try:
            return sqlite3.connect(f"{self._ledger.as_uri()}?mode=ro", uri=True, timeout=5.0)
        except sqlite3.Error as error:
            raise DemoError(f"the handler's ledger cannot be read: {error}", component="handler") from error


class LogReader:
    """New complete lines of a JSON-lines file since the last call. The file may appear later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_records(self) -> list[dict[str, Any]]:
        """The records appended since the last call, oldest first; a line without its end waits."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, end, _rest = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(end)
        return [msgspec.json.decode(line) for line in whole.splitlines() if line]


def parse_timestamp(text: str) -> float:
    """Unix seconds of an RFC 3339 time; more than six fractional digits are cut.

    >>> parse_timestamp("1970-01-01T00:01:00.123456789Z")
    60.123456
    """
    head, dot, tail = text.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    return datetime.fromisoformat(f"{head}{dot}{tail[: min(digits, 6)]}{tail[digits:]}").timestamp()


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None while the file is not there."""
    return dict(json.loads(path.read_bytes())) if path.exists() else None
