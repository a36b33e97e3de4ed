"""Users of several sidecars as one: the document that sidecars exchange, and the figures over all of them. Pure.

    {"format": 1, "precision": 15, "salt": "<fingerprint>",
     "sketches": [{"model": "churn", "version": "v2", "day": "2026-11-25", "registers": "<base64>"}, ...]}

Guarantee: no user id and no hash of one leaves a sidecar; what `decode` returns merges with our own sketches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from mlcanary.catalog import Role
from mlcanary.catalog.users import FETCH_FAILURES, PEER_STATES
from mlcanary.errors import InputError
from mlcanary.measures.contract import sample
from mlcanary.measures.users import days_at
from mlcanary.monitor.users import Sketches, crossover_samples
from mlcanary.records import Sample
from mlcanary.stats.distinct import PRECISION, HyperLogLog

_FORMAT = 1
_EPOCH = date(1970, 1, 1).toordinal()
_LARGEST_RANK = 64 - PRECISION + 1
_Name = Annotated[str, msgspec.Meta(max_length=200)]


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """Whose sketches are read: base URLs, seconds between two readings, a file with a bearer token."""

    peers: tuple[str, ...] = ()
    interval: float = 60.0
    bearer_token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """One address of a peer as the last reading left it: `problem` empty if it went well."""

    address: str
    up: bool
    problem: str
    read_at: float | None


@dataclass(frozen=True)
class PeerView:
    """What the peers gave: never changed, so that any thread may read it."""

    peers: Sequence[Peer] = ()
    sketches: Sketches = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)


class SketchesRefused(InputError):
    """A document that cannot be merged; `reason` is one of catalog.users.FETCH_FAILURES."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Sketch(msgspec.Struct, frozen=True):
    model: _Name
    version: _Name
    day: date
    registers: bytes


class _Document(msgspec.Struct, frozen=True):
    format: int
    precision: int
    salt: _Name
    sketches: list[_Sketch]


_DECODER = msgspec.json.Decoder(_Document)


def encode(sketches: Sketches, fingerprint: str) -> bytes:
    """The document of a sidecar. `fingerprint`: of the salt that the users were hashed with."""
    rows = [
        _Sketch(model, version, date.fromordinal(day + _EPOCH), users.registers.tobytes())
        for (model, version, day), users in sketches.items()
    ]
    return msgspec.json.encode(_Document(_FORMAT, PRECISION, fingerprint, rows))


def decode(body: bytes, fingerprint: str) -> Sketches:
    """The sketches of a peer. Raises SketchesRefused: nothing of a doubtful document is taken."""
    try:
        document = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SketchesRefused("malformed", f"no document of sketches: {error}") from error
    if document.format != _FORMAT:
        raise SketchesRefused("malformed", f"format {document.format}, not {_FORMAT}")
    if document.precision != PRECISION:
        raise SketchesRefused("precision", f"precision {document.precision}, not {PRECISION}")
    if document.salt != fingerprint:
        raise SketchesRefused("salt", "users are hashed with another salt: give all sidecars one `users.salt_file`")
    found: dict[tuple[str, str, int], HyperLogLog] = {}
    for row in document.sketches:
        registers = np.frombuffer(row.registers, dtype=np.uint8)
        if registers.size != 1 << PRECISION or registers.max() > _LARGEST_RANK:
            raise SketchesRefused("malformed", f"registers of {row.model}/{row.version} that no sketch can have")
        found[row.model, row.version, row.day.toordinal() - _EPOCH] = HyperLogLog(registers)
    return found


def union(one: Sketches, other: Sketches) -> dict[tuple[str, str, int], HyperLogLog]:
    """Every sketch of either side; where both have one, their merge. Neither side is changed."""
    merged = dict(one)
    for key, users in other.items():
        merged[key] = merged[key].merge(users) if key in merged else users
    return merged


def merged_samples(view: PeerView, own: Sketches, role: Callable[[str, str], Role], now: float) -> Iterator[Sample]:
    """Users over this exporter and its peers, and how reading them went. `role` of (model, version)."""
    merged = union(view.sketches, own)
    names = {day: name for name, day in days_at(now).items()}
    for (model, version, day), users in sorted(merged.items(), key=lambda item: item[0]):
        if day in names:
            yield sample("merged_daily_active_users", (model, version, names[day]), users.estimate())
    yield from crossover_samples(merged, role, now, "merged_")
    for state, up in zip(PEER_STATES, (True, False), strict=True):
        yield sample("sketch_peers", (state,), float(sum(peer.up is up for peer in view.peers)))
    for reason in FETCH_FAILURES:
        yield sample("sketch_fetch_failures_total", (reason,), float(view.failures.get(reason, 0)))
