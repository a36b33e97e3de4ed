"""The entries of `sources` in the exporter's configuration: what is read, and in which format.

sources:
  - path: /var/log/model/predictions*.jsonl
    format: native                              # a name of formats.registry; this is the default
    path_pattern: '/(?P<version>v\\d+)/'        # where the records do not say which version answered
    version: v1                                 # where nothing else does
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from mlcanary.documents import Schema, Seconds, error_at
from mlcanary.errors import ConfigError
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import FORMATS, make_format
from mlcanary.measures.plan import ModelPlan


class SourceSampling(Schema, frozen=True):
    """Of a log that was sampled before: `max_weight`, the greatest weight, makes its rows equally likely."""

    max_weight: Annotated[float, msgspec.Meta(ge=1)] | None = None


class SourceSection(Schema, frozen=True):
    """What is read, and how.

    `format` is a name of `formats.registry`; `path_pattern` a regular expression over the log's path whose named groups
    `model` and `version` say whose records they are; `model` and `version` are for records that nothing else names.
    """

    path: str
    format: str | None = None
    path_pattern: str | None = None
    model: str | None = None
    version: str | None = None
    mapping: dict[str, Any] | None = None
    sampling: SourceSampling = SourceSampling()


class SamplingSection(Schema, frozen=True):
    """How much is looked at by choice. `features`: the share of rows whose features are counted."""

    features: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class SheddingSection(Schema, frozen=True):
    """When features of rows are shed: above `lag_bytes` of unread log, for `patience`, and not catching up."""

    enabled: bool = True
    lag_bytes: Annotated[int, msgspec.Meta(ge=1024 * 1024)] = 64 * 1024 * 1024
    patience: Seconds = Seconds(5)


@dataclass(frozen=True)
class Origin:
    """An entry of `sources`: `name` is what its blocks carry as their origin."""

    name: str
    format: FormatOptions
    max_weight: float | None = None


def origins_of_paths(paths: Sequence[str], options: FormatOptions) -> tuple[Origin, ...]:
    """Logs named by flags, all read alike. Raises ConfigError."""
    if options.name not in FORMATS:
        raise ConfigError(f"--log.record-format: found {options.name!r}; allowed: {', '.join(FORMATS)}")
    return tuple(Origin(path, options) for path in paths)


def origins_of(
    sections: Sequence[SourceSection], fallback: FormatOptions, base: Path, text: str, source: str
) -> tuple[Origin, ...]:
    """The sources of the file `source` with contents `text`; `base`: what paths are relative to. Raises ConfigError."""
    found = []
    for i, section in enumerate(sections):
        place = ("sources", i)
        options = FormatOptions(
            section.format or fallback.name,
            section.model or fallback.model,
            section.version or fallback.version,
            _path_pattern(section, text, source, (*place, "path_pattern")),
            section.mapping,
        )
        if options.name not in FORMATS:
            raise error_at(text, source, (*place, "format"), repr(options.name), ", ".join(FORMATS))
        try:
            make_format(options, lambda _model: ModelPlan())
        except ValueError as error:
            raise error_at(text, source, (*place, "mapping"), "what cannot be used", str(error)) from error
        found.append(Origin(str(base / section.path), options, section.sampling.max_weight))
    return tuple(found)


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
