"""Readings from the HTTP API of Prometheus, or of what speaks like it: Thanos, Mimir, VictoriaMetrics.

Guarantee: `read` returns every series that was asked for, all at the same instant, or raises ReadingError: an error, a
timeout, a redirect, a warning (a partial answer of a distributed store) and an answer beyond the cap are no reading.
Queries are plain selectors, never rate() or increase(): those extrapolate. Asks no proxy of the environment.
Cost: one query for who plays which part, then one per about 60,000 series; three for the reference profiles of models
whose exporters or bin edges have changed. 60,000 series: about 11 MB and 0.2 s of this process.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import requests

from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.reading import Reader, Reading, ReadingError, Sample
from mlcanary.judge.intake.roles import canary_models

__all__ = ["PrometheusReader", "Reader", "Reading", "ReadingError", "Sample"]

SERIES_PER_QUERY = 60_000
"""Series that an answer should have at most: about 11 MB, more with long labels."""

SERIES_OF_UNKNOWN = 2_000
"""Series that a model is taken to have before it was read."""

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes from which on an answer is not read any further."""

_PIECE = 1024 * 1024


class _Series(msgspec.Struct, gc=False):
    metric: msgspec.Raw
    value: tuple[float, str]


class _Data(msgspec.Struct):
    resultType: str
    result: msgspec.Raw


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""
    warnings: list[str] | None = None
    infos: list[str] | None = None


_ANSWERS = msgspec.json.Decoder(_Answer)
_VECTORS = msgspec.json.Decoder(list[_Series])
_LABELS = msgspec.json.Decoder(dict[str, str])
_SCALARS = msgspec.json.Decoder(tuple[float, str])
_BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError)


class PrometheusReader:
    """Reads one server. `labels`: matchers that every series must have, such as a namespace.

    `timeout`: seconds for one query. `bearer_token_file` is read anew for every query. `environment_proxies`: obey
    HTTPS_PROXY and its kin.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        bearer_token_file: str = "",
        ca_file: str = "",
        labels: Mapping[str, str] | None = None,
        environment_proxies: bool = False,
    ) -> None:
        self._url = url.rstrip("/") + "/api/v1/query"
        self._timeout = timeout
        self._token_file = bearer_token_file
        self._matchers = "".join(f',{name}="{_escaped(value)}"' for name, value in (labels or {}).items())
        self._session = requests.Session()
        self._session.trust_env = environment_proxies
        self._session.verify = ca_file or True
        self._session.headers["Accept-Encoding"] = "identity"
        self._series: dict[str, int] = {}
        self._profiles: dict[str, tuple[set[object], list[Sample]]] = {}
        """What each model's exporters said of their edges, and the profile that they had then."""
        self._known: dict[bytes, tuple[bytes, str, dict[str, str]]] = {}
        self._met: dict[bytes, tuple[bytes, str, dict[str, str]]] = {}
        """Spelling, name and labels of the series of the last reading, and of the one in hand."""

    def now(self) -> float:
        """The clock of the server, Unix seconds."""
        data = self._query("time()", None)
        if data.resultType != "scalar":
            raise self._refusal(f"time() is a {data.resultType}")
        try:
            return float(_SCALARS.decode(data.result)[1])
        except _BROKEN as error:
            raise self._refusal(f"time() cannot be read: {error}") from error

    def read(self, at: float, models: Sequence[str] | None = None) -> Reading:
        """As `Reader.read`."""
        found: list[Sample] = []
        self._met = {}
        strange = self._select(found, at, (read.INFO, read.UP), "")
        wanted = sorted(set(canary_models(Reading(at, found)) if models is None else models))
        for part in self._parts(wanted):
            strange += self._read_part(found, at, part)
        self._series = {model: self._series.get(model, 0) for model in wanted}
        self._known = self._met
        self._profiles = {model: self._profiles[model] for model in wanted if model in self._profiles}
        return Reading(at, found, strange)

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def _parts(self, models: Sequence[str]) -> Iterator[list[str]]:
        """Models together as long as their answer stays small."""
        part: list[str] = []
        size = 0
        for model in models:
            more = self._series.get(model, SERIES_OF_UNKNOWN)
            if part and size + more > SERIES_PER_QUERY:
                yield part
                part, size = [], 0
            part.append(model)
            size += more
        if part:
            yield part

    def _read_part(self, found: list[Sample], at: float, models: Sequence[str]) -> int:
        """Everything about some models; how many series were not numbers."""
        begin = len(found)
        strange = self._select(found, at, (*read.COUNTERS, *read.FACTS), _any_of(models))
        counts = dict.fromkeys(models, 0)
        edges: dict[str, set[object]] = {model: set() for model in models}
        for sample in found[begin:]:
            model = sample.labels.get("model", "")
            counts[model] = counts.get(model, 0) + 1
            if sample.name == read.EDGES:
                edges.setdefault(model, set()).add(tuple(sample.labels.items()))
        self._series |= counts
        return strange + self._read_references(found, at, edges)

    def _read_references(self, found: list[Sample], at: float, edges: Mapping[str, set[object]]) -> int:
        """The profiles of these models: asked for once, and again when an exporter or its edges change."""
        changed = [
            model for model, told in edges.items() if self._profiles.get(model, (set(), []))[0] != told or not told
        ]
        fresh: list[Sample] = []
        strange = 0
        for family, kept in read.REFERENCES.items() if changed else ():
            query = f"max by ({', '.join(kept)}) ({family}{{{(_any_of(changed) + self._matchers)[1:]}}})"
            strange += self._vector(fresh, at, query, family)
        by_model: dict[str, list[Sample]] = {model: [] for model in changed}
        for sample in fresh:
            by_model.setdefault(sample.labels.get("model", ""), []).append(sample)
        for model, samples in by_model.items():
            if samples:
                self._profiles[model] = edges.get(model, set()), samples
            else:
                self._profiles.pop(model, None)
        for model in edges:
            found += self._profiles.get(model, (set(), []))[1]
        return strange

    def _select(self, found: list[Sample], at: float, families: Sequence[str], matcher: str) -> int:
        return self._vector(found, at, f'{{__name__=~"{"|".join(families)}"{matcher}{self._matchers}}}', "")

    def _vector(self, found: list[Sample], at: float, query: str, name: str) -> int:
        """Append the series of a query, under `name` where the query took theirs; how many were not numbers."""
        data = self._query(query, at)
        if data.resultType != "vector":
            raise self._refusal(f"the answer to {query[:100]} is a {data.resultType}")
        strange = 0
        try:
            for series in _VECTORS.decode(data.result):
                spelled, value = bytes(series.metric), float(series.value[1])
                if math.isnan(value):
                    strange += 1
                    continue
                entry = self._known.get(spelled) or _spelled_out(spelled)
                self._met[entry[0]] = entry
                key, own, labels = entry
                found.append(Sample(name or own, labels, value, key))
        except _BROKEN as error:
            raise self._refusal(f"the answer to {query[:100]} cannot be read: {error}") from error
        return strange

    def _query(self, query: str, at: float | None) -> _Data:
        """The data of a complete answer."""
        form = {"query": query, "timeout": f"{self._timeout:g}s"}
        if at is not None:
            form["time"] = repr(at)
        status, body = self._post(form)
        try:
            answer = _ANSWERS.decode(body)
        except _BROKEN as error:
            if status == 200:
                raise self._refusal(f"its answer is none of Prometheus: {error}") from error
            answer = _Answer("error", error=body[:200].decode(errors="replace"))
        if status != 200 or answer.status != "success" or answer.data is None:
            hint = _HINTS.get(status, "see the log of Prometheus")
            unavailable = status in {502, 503, 504}
            raise self._refusal(f"HTTP {status}: {answer.error[:300]}", hint=hint, refused=not unavailable)
        if noted := [*(answer.warnings or ()), *(answer.infos or ())]:
            raise self._refusal(f"the answer may be incomplete: {'; '.join(noted)[:300]}")
        return answer.data

    def _post(self, form: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body; the whole exchange takes twice the timeout at most."""
        deadline = time.monotonic() + 2 * self._timeout
        try:
            with self._session.post(
                self._url,
                data=form,
                headers=self._credentials(),
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                pieces: list[bytes] = []
                size = 0
                for piece in response.iter_content(_PIECE):
                    pieces.append(piece)
                    size += len(piece)
                    if size > LARGEST_ANSWER:
                        hint = "name fewer models, or select a namespace"
                        raise self._refusal(f"an answer is beyond {LARGEST_ANSWER >> 20} MB", hint=hint)
                    if time.monotonic() > deadline:
                        raise self._unreachable(f"no whole answer within {2 * self._timeout:g} s")
                return response.status_code, b"".join(pieces)
        except (requests.RequestException, OSError, ValueError) as error:
            raise self._unreachable(str(error) or type(error).__name__) from error

    def _credentials(self) -> dict[str, str]:
        if not self._token_file:
            return {}
        try:
            token = Path(self._token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ReadingError(
                f"{self._token_file}: {error}", hint="check prometheus.bearer_token_file", refused=True
            ) from error
        return {"Authorization": f"Bearer {token}"}

    def _refusal(self, what: str, *, hint: str = "check prometheus.url", refused: bool = True) -> ReadingError:
        return ReadingError(f"{self._url}: {what}", hint=hint, refused=refused)

    def _unreachable(self, what: str) -> ReadingError:
        return ReadingError(f"{self._url}: {what[:300]}", hint="is Prometheus up, and is prometheus.url right?")


_HINTS: Mapping[int, str] = {
    301: "prometheus.url must not redirect: write where it leads to",
    302: "prometheus.url must not redirect: write where it leads to",
    307: "prometheus.url must not redirect: write where it leads to",
    308: "prometheus.url must not redirect: write where it leads to",
    400: "check the label matchers of `select`",
    401: "check prometheus.bearer_token_file",
    403: "check prometheus.bearer_token_file",
    404: "prometheus.url is the part before /api/v1/query",
    422: "raise query.max-samples of Prometheus, or select fewer series",
    503: "Prometheus is starting, or overloaded: raise query.timeout or prometheus.timeout",
}


def _spelled_out(spelled: bytes) -> tuple[bytes, str, dict[str, str]]:
    """A series by its spelling. Its texts are shared with those of other series: they are mostly the same."""
    labels = {name: sys.intern(value) for name, value in _LABELS.decode(spelled).items()}
    return spelled, labels.pop("__name__", ""), labels


def _any_of(models: Sequence[str]) -> str:
    """A matcher of these models: a regular expression (RE2) inside the quotes of PromQL."""
    return f',model=~"{_escaped("|".join(map(re.escape, models)))}"'


def _escaped(text: str) -> str:
    """A text inside the quotes of PromQL."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
