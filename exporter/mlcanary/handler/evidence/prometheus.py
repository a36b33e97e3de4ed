"""Instant queries against the Prometheus HTTP API, and the only place where PromQL text is put together.

Guarantee: `query` returns the complete answer or raises EvidenceError: a warning (a partial answer of a
distributed store), an error or a timeout is no answer. A NaN is handed on, for a version without traffic has
some; `only_value` refuses it where it is asked for. Literals are escaped although every caller passes
configured names only.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from mlcanary.errors import ActionError, MLCanaryError
from mlcanary.handler.calls import UNREADABLE, Access, call
from mlcanary.handler.schema import PrometheusSettings


class EvidenceError(MLCanaryError):
    """Evidence could not be had, or is ambiguous. Nobody acts on it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer."""

    labels: tuple[tuple[str, str], ...]
    value: float

    def label(self, name: str) -> str:
        """A label, empty if the series has none of the name."""
        return dict(self.labels).get(name, "")


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    resultType: str
    result: list[_Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Data
    warnings: list[str] = []


def selector(metric: str, matchers: Sequence[tuple[str, str]]) -> str:
    """`metric{name="value",...}` with the values escaped."""
    return metric + "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in matchers) + "}"


def any_of(metrics: Sequence[str], matchers: Sequence[tuple[str, str]]) -> str:
    """A selector of several families at once. Input: names without regular-expression characters."""
    return '{__name__=~"' + "|".join(metrics) + '",' + selector("", matchers)[1:]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _untold(_answered: bool) -> None:
    """Nobody wants to know."""


class Prometheus:
    """A reader of one Prometheus (or Thanos, Mimir) server.

    `told` hears after each question whether it was answered: a handler that gets no answers acts on nothing, and should
    not look healthy.
    """

    def __init__(self, settings: PrometheusSettings, told: Callable[[bool], None] = _untold) -> None:
        self._told = told
        self._url = settings.url.rstrip("/") + "/api/v1/query"
        self._timeout = settings.timeout
        self._access = Access(settings.timeout, settings.bearer_token_file, settings.ca_file)

    async def query(self, expression: str) -> list[Sample]:
        """Every series of an instant vector, now."""
        try:
            samples = await self._answer(expression)
        except EvidenceError:
            self._told(False)
            raise
        self._told(True)
        return samples

    async def _answer(self, expression: str) -> list[Sample]:
        parameters = urlencode({"query": expression, "timeout": f"{self._timeout:g}s"})
        try:
            answer = msgspec.json.decode(await call("GET", f"{self._url}?{parameters}", self._access), type=_Answer)
        except ActionError as error:
            raise EvidenceError(f"Prometheus: {str(error)[:300]}", hint="check prometheus.url") from error
        except UNREADABLE as error:
            raise EvidenceError(f"{self._url}: its answer is none of Prometheus: {error}") from error
        if answer.status != "success" or answer.warnings or answer.data.resultType != "vector":
            raise EvidenceError(f"Prometheus: incomplete answer to {expression}: {answer.warnings[:3]}")
        return [_sample(series) for series in answer.data.result]

    async def query_all(self, expressions: Mapping[str, str]) -> dict[str, list[Sample]]:
        """The answers to named expressions, asked at once; one failure fails all."""
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(self._safe(text)) for name, text in expressions.items()}
        answers: dict[str, list[Sample]] = {}
        for name, task in tasks.items():
            answer = task.result()
            if isinstance(answer, EvidenceError):
                raise answer
            answers[name] = answer
        return answers

    async def _safe(self, expression: str) -> list[Sample] | EvidenceError:
        try:
            return await self.query(expression)
        except EvidenceError as error:
            return error


def _sample(series: _Series) -> Sample:
    try:
        return Sample(tuple(sorted(series.metric.items())), float(series.value[1]))
    except ValueError as error:
        raise EvidenceError(f"Prometheus: {series.value[1]!r} is no number") from error


def only_value(samples: Sequence[Sample], what: str) -> float | None:
    """The value of the one series, None without any. Raises EvidenceError for several and for NaN."""
    if len(samples) > 1:
        hint = "name the cluster or namespace in labels of the target"
        raise EvidenceError(f"{what}: {len(samples)} series where one is expected", hint=hint)
    if samples and math.isnan(samples[0].value):
        raise EvidenceError(f"{what}: NaN")
    return samples[0].value if samples else None
