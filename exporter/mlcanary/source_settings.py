"""The entries of `sources` in the exporter's configuration: what is read, and in which format.

sources:
  - path: /var/log/model/predictions*.jsonl
    format: native                              # a name of formats.registry; this is the default
    path_pattern: '/(?P<version>v\\d+)/'        # where the records do not say which version answered
    version: v1                                 # where nothing else does
  - stdin: true                                 # what is piped in; `--log.path -` is the same
  - kafka: {brokers: [kafka:9092], topic: labels}     # or redis, nats, sql: one of them per entry
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import msgspec

from mlcanary.documents import Schema, error_at
from mlcanary.errors import ConfigError
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import FORMATS, make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.push.settings import EVENT_FORMAT, EVENTS, PUSHED, PushSection
from mlcanary.sources.kafka_settings import KafkaSection
from mlcanary.sources.nats_jetstream import NatsSection
from mlcanary.sources.queue_source import QueueSection
from mlcanary.sources.redis_streams import RedisSection
from mlcanary.sources.sql import SqlSection

STDIN = "stdin"
"""Source and origin of standard input."""

DASH = "-"
"""Standard input as a path."""

_KINDS = ("path", "stdin", "kafka", "redis", "nats", "sql")


class SourceSampling(Schema, frozen=True):
    """Of a log that was sampled before: `max_weight`, the greatest weight, makes its rows equally likely."""

    max_weight: Annotated[float, msgspec.Meta(ge=1)] | None = None


class SourceSection(Schema, frozen=True):
    """What is read, and how: a `path`, or `stdin`.

    `format` is a name of `formats.registry`; `path_pattern` a regular expression over the log's path whose named groups
    `model` and `version` say whose records they are; `model` and `version` are for records that nothing else names.
    """

    path: str = ""
    stdin: bool = False
    kafka: KafkaSection | None = None
    redis: RedisSection | None = None
    nats: NatsSection | None = None
    sql: SqlSection | None = None
    format: str | None = None
    path_pattern: str | None = None
    model: str | None = None
    version: str | None = None
    mapping: dict[str, Any] | None = None
    sampling: SourceSampling = SourceSampling()


class OriginKind(Enum):
    """Files are followed, queues asked; a pipe and what is pushed outlive a reload: only an exporter has them."""

    FILES = "files"
    QUEUE = "queue"
    PIPE = "pipe"
    PUSH = "push"


@dataclass(frozen=True)
class Origin:
    """An entry of `sources`, or what is pushed: `name` is what its blocks carry as their origin. `queue`: a broker."""

    name: str
    format: FormatOptions
    kind: OriginKind = OriginKind.FILES
    queue: QueueSection | None = None
    max_weight: float | None = None


def origins_of_paths(paths: Sequence[str], options: FormatOptions) -> tuple[Origin, ...]:
    """Logs named by flags, all read alike. Raises ConfigError."""
    if options.name not in FORMATS:
        raise ConfigError(f"--log.record-format: found {options.name!r}; allowed: {', '.join(FORMATS)}")
    return tuple(
        Origin(STDIN, options, OriginKind.PIPE) if path == DASH else Origin(path, options)
        for path in dict.fromkeys(paths)
    )


def origins_of(
    sections: Sequence[SourceSection], fallback: FormatOptions, base: Path, text: str, source: str
) -> tuple[Origin, ...]:
    """The sources of the file `source` with contents `text`; `base`: what paths are relative to. Raises ConfigError."""
    found: list[Origin] = []
    for i, section in enumerate(sections):
        place = ("sources", i)
        options = FormatOptions(
            section.format or fallback.name,
            section.model or fallback.model,
            section.version or fallback.version,
            _path_pattern(section, text, source, (*place, "path_pattern")),
            section.mapping,
        )
        _check_format(options, text, source, place)
        origin = _origin(section, options, base, text, source, place)
        if origin.kind is not OriginKind.FILES and any(origin.name == other.name for other in found):
            raise error_at(text, source, place, f"{origin.name} again", "each once")
        found.append(origin)
    return tuple(found)


def _origin(
    section: SourceSection, options: FormatOptions, base: Path, text: str, source: str, place: tuple[str | int, ...]
) -> Origin:
    """What a section reads. Raises ConfigError."""
    max_weight = section.sampling.max_weight
    queue = _queue(section, base, text, source, place)
    if queue is not None:
        return Origin(queue.name, options, OriginKind.QUEUE, queue, max_weight)
    if section.stdin:
        return Origin(STDIN, options, OriginKind.PIPE, max_weight=max_weight)
    return Origin(str(base / section.path), options, max_weight=max_weight)


def push_origins(section: PushSection, fallback: FormatOptions, text: str, source: str) -> tuple[Origin, ...]:
    """What `push` gives: records, and events in their own format. Raises ConfigError."""
    if section.problem is not None:
        key, what, allowed = section.problem
        raise error_at(text, source, ("push", key), what, allowed)
    model, version = section.model or fallback.model, section.version or fallback.version
    events = FormatOptions(section.format or EVENT_FORMAT, model, version, mapping=section.mapping)
    _check_format(events, text, source, ("push",))
    return (
        Origin(PUSHED, FormatOptions(model=model, version=version), OriginKind.PUSH),
        Origin(EVENTS, events, OriginKind.PUSH),
    )


def _check_format(options: FormatOptions, text: str, source: str, place: tuple[str | int, ...]) -> None:
    """Raises ConfigError."""
    if options.name not in FORMATS:
        raise error_at(text, source, (*place, "format"), repr(options.name), ", ".join(FORMATS))
    try:
        make_format(options, lambda _model: ModelPlan())
    except ValueError as error:
        raise error_at(text, source, (*place, "mapping"), "what cannot be used", str(error)) from error


def _queue(
    section: SourceSection, base: Path, text: str, source: str, place: tuple[str | int, ...]
) -> QueueSection | None:
    """The broker or database of an entry, checked; None for files and standard input. Raises ConfigError."""
    kinds = {name: getattr(section, name) for name in _KINDS}
    given = {name: value for name, value in kinds.items() if value}
    if len(given) != 1:
        raise error_at(text, source, place, " and ".join(given) or "no source", f"one of {', '.join(_KINDS)}")
    kind, value = next(iter(given.items()))
    if kind in {"path", "stdin"}:
        return None
    queue: QueueSection = value.anchored(base)
    if (problem := queue.problem()) is not None:
        keys, what, allowed = problem
        raise error_at(text, source, (*place, kind, *keys), what, allowed)
    for keys, path in queue.files().items():
        if not os.access(path, os.R_OK):
            raise error_at(text, source, (*place, kind, *keys), f"{path!r}, which cannot be read", "a readable file")
    module, extra = queue.needs
    if module and importlib.util.find_spec(module) is None:
        hint = f"pip install 'mlcanary[{extra}]'"
        allowed = "this source where its client library is installed"
        raise error_at(text, source, (*place, kind), f"no Python package {module}", allowed, hint=hint)
    return queue


def _path_pattern(
    section: SourceSection, text: str, source: str, place: tuple[str | int, ...]
) -> re.Pattern[str] | None:
    if section.path_pattern is None:
        return None
    allowed = "a regular expression with a group (?P<version>...) or (?P<model>...)"
    try:
        pattern = re.compile(section.path_pattern)
    except re.error as error:
        raise error_at(text, source, place, repr(section.path_pattern), f"{allowed}: {error}") from error
    if not pattern.groupindex.keys() & {"model", "version"}:
        raise error_at(text, source, place, repr(section.path_pattern), allowed)
    return pattern
