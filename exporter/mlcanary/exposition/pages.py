"""Figures to pages: only what changed since the last page is made and written again.

Guarantee: a page holds the same bytes as one on which everything is made anew. Cost: nothing but a comparison for what
did not change; the lines are held once, for both formats and for the page that is being served.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from mlcanary.catalog import CATALOG
from mlcanary.exposition.families import Family, families
from mlcanary.exposition.text import END, HEADS, Block, LineWriter
from mlcanary.monitor.figures import Figures
from mlcanary.records import Sample, Shown


class Rendered(NamedTuple):
    """A page as chunks of bytes in both formats, and the samples of the families that were asked for."""

    text: tuple[bytes, ...]
    openmetrics: tuple[bytes, ...]
    families: tuple[Family, ...]
    series: int


class _Group(NamedTuple):
    stamp: Any
    blocks: dict[str, Block]
    marked: list[Sample]
    series: int


class PageMaker:
    """Makes the pages of one process."""

    def __init__(self, marked: Collection[str] = ()) -> None:
        """`marked`: families whose samples are wanted beside the page."""
        self._marked = frozenset(marked)
        self._writer = LineWriter()
        self._groups: dict[tuple[str, ...], _Group] = {}

    @property
    def series(self) -> int:
        """Series of the figures that were taken last."""
        return sum(group.series for group in self._groups.values())

    def forget(self) -> None:
        """Have everything made anew."""
        self._groups = {}

    def take(self, figures: Iterable[Figures], stays: Callable[[Sample], bool] | None = None) -> None:
        """Bring the figures up to date. `stays` tells which samples belong on the page, the same until `forget`."""
        groups: dict[tuple[str, ...], _Group] = {}
        for figure in figures:
            before = self._groups.get(figure.place)
            if before is not None and figure.stamp is not None and before.stamp == figure.stamp:
                groups[figure.place] = before
            elif stays is None:
                groups[figure.place] = self._group(figure.stamp, figure.labels, figure.make())
            else:
                kept = (sample for sample in figure.samples() if stays(sample))
                groups[figure.place] = self._group(figure.stamp, (), kept)
        self._groups = groups

    def page(self, others: Iterable[Sample], before: bytes = b"", after: bytes = b"") -> Rendered:
        """The page of the figures and of other samples, which follow in their families.

        `after` ends the text page, `before` begins the OpenMetrics page: families that are not of the catalogue.
        """
        last = self._group(None, (), others)
        groups = [group for group in (*self._groups.values(), last) if group.series]
        by_family: dict[str, list[bytes]] = {}
        for group in groups:
            for name, block in group.blocks.items():
                by_family.setdefault(name, []).append(block.lines)
        text: list[bytes] = []
        openmetrics: list[bytes] = [before]
        for spec in CATALOG:
            if (lines := by_family.get(spec.name)) is not None:
                heads = HEADS[spec.name]
                text += (heads.text, *lines)
                openmetrics += (heads.openmetrics, *lines)
        marked = families(sample for group in groups for sample in group.marked)
        series = sum(group.series for group in groups)
        return Rendered((*text, after), (*openmetrics, END), tuple(marked), series)

    def _group(self, stamp: Any, labels: tuple[str, ...], samples: Iterable[Shown]) -> _Group:
        marked: list[Sample] = []
        blocks = self._writer.write(labels, samples, self._marked, marked)
        return _Group(stamp, blocks, marked, sum(block.series for block in blocks.values()))
