"""Figures of a page that are made only when somebody asks for them, and how to tell that they are as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from mlcanary.records import Sample, Shown, one_by_one


class Figures(NamedTuple):
    """Some samples of the page: those of one measure of one version, or of one of its windows.

    `place` names them, unique on the page; `labels` stand before the labels of each sample of `make`. Where `stamp`
    equals that of a former page, `make` would give the same samples again; None: they are to be made for every page.
    """

    place: tuple[str, ...]
    labels: tuple[str, ...]
    stamp: Any
    make: Callable[[], Iterable[Shown]]

    def samples(self) -> Iterator[Sample]:
        """The samples with all of their labels."""
        for name, suffix, labels, value in one_by_one(self.make()):
            yield Sample(name, suffix, (*self.labels, *labels), value)
