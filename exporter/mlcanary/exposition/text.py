"""Families to bytes: the Prometheus text format 0.0.4 and OpenMetrics 1.0.0.

Guarantee: `promtool check metrics` and prometheus-client's parsers read back exactly the samples given; a page
is complete or not made at all. Cost: 0.3 us per series, since the text of labels is built once and kept; that is why
this is not prometheus-client, which takes ten times as long and holds the interpreter. What is kept is shared by all
versions and windows, so it grows with the names of features, bins and classes, and not with the series.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from mlcanary.catalog import BY_NAME, Kind, MetricSpec
from mlcanary.exposition.families import Family
from mlcanary.records import Sample

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END = b"# EOF\n"
_TOTAL = "_total"
_CACHE_LIMIT = 200_000
_EXACT = 2.0**53

Labels = tuple[str, ...]


class Block(NamedTuple):
    """Lines of one family, each with its end; `series` of them."""

    lines: bytes
    series: int


class LineWriter:
    """Writes the lines of samples; keeps the text of labels between pages."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, int], dict[Labels, str]] = {}
        self._kept = 0

    def write(
        self, labels: Labels, samples: Iterable[Sample], marked: Collection[str] = (), found: list[Sample] | None = None
    ) -> dict[str, Block]:
        """Lines by family, families and lines in the order in which they come.

        `labels` are the first label values of every sample, which its own follow. Samples of the families `marked` are
        put into `found` as well, with all of their labels. Raises KeyError on a name that is no catalogue row and
        ValueError on a wrong number of labels.
        """
        if self._kept > _CACHE_LIMIT:  # names that went away would otherwise stay for ever
            self._texts.clear()
            self._kept = 0
        lines: dict[str, list[str]] = {}
        open_series: dict[str, tuple[list[str], str, dict[Labels, str], bool]] = {}
        for name, suffix, own, value in samples:
            series = name + suffix
            state = open_series.get(series)
            if state is None:
                texts = self._texts.setdefault((series, len(labels)), {})
                state = (lines.setdefault(name, []), _begin(name, suffix, labels), texts, name in marked)
                open_series[series] = state
            into, begin, texts, is_marked = state
            text = texts.get(own)
            if text is None:
                text = texts[own] = _rest(name, suffix, len(labels), own)
                self._kept += 1
            # Shortest text that reads back as the same float; whole numbers without a fraction. An int is a float too.
            if -_EXACT < value < _EXACT and value % 1 == 0:
                into.append(f"{begin}{text}{int(value)}\n")
            else:
                into.append(f"{begin}{text}{value!r}\n")
            if is_marked and found is not None:
                found.append(Sample(name, suffix, (*labels, *own), value))
        return {name: Block("".join(of).encode(), len(of)) for name, of in lines.items()}


class TextRenderer:
    """Renders pages of one process; keeps the text of labels between pages."""

    def __init__(self) -> None:
        self._writer = LineWriter()
        self.series = 0

    def render(self, families: Sequence[Family]) -> tuple[bytes, bytes]:
        """The page as (text, OpenMetrics); both carry the same samples."""
        text: list[bytes] = []
        openmetrics: list[bytes] = []
        self.series = 0
        for spec, samples in families:
            block = self._writer.write((), samples)[spec.name]
            self.series += block.series
            heads = HEADS[spec.name]
            text += (heads.text, block.lines)
            openmetrics += (heads.openmetrics, block.lines)
        return b"".join(text), b"".join((*openmetrics, END))


class Heads(NamedTuple):
    """What stands before the lines of a family, in both formats."""

    text: bytes
    openmetrics: bytes


def _heads(spec: MetricSpec) -> Heads:
    openmetrics = spec.name.removesuffix(_TOTAL) if spec.kind is Kind.COUNTER else spec.name
    return Heads(_head(spec.name, spec), _head(openmetrics, spec))


def _head(name: str, spec: MetricSpec) -> bytes:
    text = spec.help.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {spec.kind.value}\n".encode()


HEADS = {name: _heads(spec) for name, spec in BY_NAME.items()}


def _begin(name: str, suffix: str, labels: Labels) -> str:
    """A line up to the labels that all samples of a group share."""
    names = BY_NAME[name].labels[: len(labels)]
    return f"{name}{suffix}{{{_pairs(names, labels)}" if labels else f"{name}{suffix}"


def _rest(name: str, suffix: str, shared: int, labels: Labels) -> str:
    """From there to the value. `shared`: how many labels stand before."""
    names = BY_NAME[name].labels[shared:]
    pairs = _pairs((*names, "le") if suffix == "_bucket" else names, labels)
    if shared:
        return f",{pairs}}} " if pairs else "} "
    return f"{{{pairs}}} " if pairs else " "


def _pairs(names: Sequence[str], values: Labels) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
