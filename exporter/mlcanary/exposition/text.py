"""Families to bytes: the Prometheus text format 0.0.4 and OpenMetrics 1.0.0.

Guarantee: `promtool check metrics` and prometheus-client's parsers read back exactly the samples given; a page
is complete or not made at all. Cost: 0.3 us per series, since the text of labels is built once and kept; that is why
this is not prometheus-client, which takes ten times as long and holds the interpreter. What is kept is shared by all
versions and windows, so it grows with the names of features, bins and classes, and not with the series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from operator import add
from typing import NamedTuple

from msgspec.json import Encoder

from mlcanary.catalog import BY_NAME, Kind, MetricSpec
from mlcanary.exposition.families import Family
from mlcanary.records import Run, Sample, Shown, one_by_one

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END = b"# EOF\n"
_TOTAL = "_total"
_CACHE_LIMIT = 200_000
_LINE = "\n"

Labels = tuple[str, ...]


class Block(NamedTuple):
    """Lines of one family, each with its end; `series` of them."""

    lines: bytes
    series: int


class LineWriter:
    """Writes the lines of samples; keeps the text of labels between pages."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str, int], dict[Labels, str]] = {}
        self._sequences: dict[tuple[str, str, int], tuple[Sequence[Labels], list[str]]] = {}
        self._begins: dict[tuple[str, str, Labels], str] = {}
        self._kept = 0

    def write(
        self,
        labels: Labels,
        samples: Iterable[Shown],
        marked: Set[str] = frozenset(),
        found: list[Sample] | None = None,
    ) -> dict[str, Block]:
        """Lines by family, families and lines in the order in which they come.

        `labels` are the first label values of every sample, which its own follow. Samples of the families `marked` are
        put into `found` as well, with all of their labels. Raises KeyError on a name that is no catalogue row and
        ValueError on a wrong number of labels.
        """
        by_family = _runs(samples)
        if found is not None:
            for name in marked & by_family.keys():
                of_all = one_by_one(by_family[name])
                found.extend(Sample(name, suffix, (*labels, *own), value) for name, suffix, own, value in of_all)
        return {name: self.block(labels, runs) for name, runs in by_family.items()}

    def block(self, labels: Labels, runs: Sequence[Run]) -> Block:
        """The lines of one family."""
        if len(runs) == 1:
            return Block(self._lines(labels, runs[0]).encode(), len(runs[0].values))
        return Block("".join(self._lines(labels, run) for run in runs).encode(), sum(len(run.values) for run in runs))

    def _lines(self, labels: Labels, run: Run) -> str:
        """All lines of a run: this is where the time of a page goes, so each step is one call for all of them."""
        begin = self._begin_of(run, labels)
        pieces = map(add, self._texts_of(run, len(labels)), _numbers(run.values))
        return f"{begin}{f'{_LINE}{begin}'.join(pieces)}{_LINE}"

    def _begin_of(self, run: Run, labels: Labels) -> str:
        key = (run.name, run.suffix, labels)
        begin = self._begins.get(key)
        if begin is None:
            if len(self._begins) > _CACHE_LIMIT // 4:
                self._begins.clear()
            begin = self._begins[key] = _begin(*key)
        return begin

    def _texts_of(self, run: Run, shared: int) -> list[str]:
        """The text of each sample's own labels: versions and windows mostly show the same ones in the same order."""
        key = (run.name, run.suffix, shared)
        before = self._sequences.get(key)
        if before is not None and (before[0] is run.labels or before[0] == run.labels):
            return before[1]
        if self._kept > _CACHE_LIMIT:  # names that went away would otherwise stay for ever
            self._texts.clear()
            self._sequences.clear()
            self._kept = 0
        known = self._texts.setdefault(key, {})
        for own in run.labels:
            if own not in known:
                known[own] = _rest(run.name, run.suffix, shared, own)
                self._kept += 1
        texts = [known[own] for own in run.labels]
        self._sequences[key] = (run.labels, texts)
        return texts


def _runs(samples: Iterable[Shown]) -> dict[str, list[Run]]:
    """Samples by family, and by what comes without a break in it, so that lines stay in their order."""
    by_family: dict[str, list[Run]] = {}
    current: dict[str, tuple[str, Callable[[Labels], None], Callable[[float], None]]] = {}
    for each in samples:
        if isinstance(each, Run):
            by_family.setdefault(each.name, []).append(each)
            current.pop(each.name, None)
            continue
        name, suffix, own, value = each
        state = current.get(name)
        if state is None or state[0] != suffix:
            labels: list[Labels] = []
            values: list[float] = []
            by_family.setdefault(name, []).append(Run(name, suffix, labels, values))
            state = current[name] = (suffix, labels.append, values.append)
        state[1](own)
        state[2](value)
    return by_family


def _runs_of_family(samples: Sequence[Sample]) -> list[Run]:
    """The same for samples of one family."""
    names, suffixes, labels, values = zip(*samples, strict=True)
    if suffixes.count(suffixes[0]) == len(suffixes):
        return [Run(names[0], suffixes[0], list(labels), list(values))]
    return _runs(samples)[names[0]]


def _numbers(values: Sequence[float]) -> list[str]:
    """Shortest texts that read back as the same floats; whole numbers without a fraction.

    >>> _numbers([0.1, 3.0, 7, float("inf"), 1e300, 0.00002]), _numbers([0.5, -0.0, -10.0])
    (['0.1', '3', '7', 'inf', '1e+300', '2e-05'], ['0.5', '0', '-10'])
    """
    text = f"{_json(values).decode()[1:-1]},"
    numbers = text.replace("-0.0,", "0,").replace(".0,", ",")[:-1].split(",")
    if "e" in text or "0.0000" in text or "null" in text:  # JSON writes powers of ten in its own way
        for i, number in enumerate(numbers):
            if "e" in number or "0.0000" in number or number == "null":
                numbers[i] = repr(values[i])
    return numbers


_json = Encoder().encode
"""Writes floats ten times as fast as `repr`, and with the same digits."""


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
            block = self._writer.block((), _runs_of_family(samples))
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
