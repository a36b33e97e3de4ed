"""What `mlcanary profile` leaves out by itself, and what it says of columns that may not be what they seem.

Guarantee: nothing is left out without a note that names it and says how to keep it. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlcanary.catalog import PREDICTION_FEATURE, Task
from mlcanary.doctor.table_columns import (
    all_different,
    maybe_labels,
    maybe_scores,
    mixed,
    why_no_feature,
)
from mlcanary.measures.profiling import ProfileOptions, present_values
from mlcanary.measures.reference import TAIL_NAMES, CategoricalReference, Reference

_FEW = 500
"""Values for a profile: 25 in each of 20 bins."""


@dataclass(frozen=True)
class Look:
    """A table as it was looked at: its `columns`, what is `present` in each, and why some are `left_out`."""

    columns: Mapping[str, Sequence[Any]]
    present: Mapping[str, Sequence[Any]]
    options: ProfileOptions
    left_out: Mapping[str, str]

    def notes(self, reference: Reference) -> Iterator[str]:
        """All that is to be said, a line each; `reference` is what was made of the table."""
        roles = _roles(self.options)
        kept = {name: p for name, p in self.present.items() if name not in roles and name not in self.left_out}
        output = self._output()
        if self.left_out:
            named = ", ".join(f"{name} ({why})" for name, why in self.left_out.items())
            yield f"left out: {named}; keep one by --categorical or --numeric"
        yield from self._absent(kept, reference)
        yield from _odd_values(kept, self.columns, self.options)
        yield from _few_values(reference.rows, {**kept, **({} if output is None else {output: self.present[output]})})
        if output is not None and (absent := reference.rows - len(self.present[output])):
            yield f"{output}: {absent:,} of {reference.rows:,} values are missing"
        if incomplete := sorted(n for n, f in reference.features.items() if _is_incomplete(f)):
            yield f"more than {TAIL_NAMES:,} further names, so unseen ones are not told apart: {', '.join(incomplete)}"

    def _output(self) -> str | None:
        wanted = {
            Task.BINARY: self.options.score_column,
            Task.MULTICLASS: PREDICTION_FEATURE,
            Task.REGRESSION: PREDICTION_FEATURE,
        }.get(self.options.task)
        return wanted if wanted in self.columns and wanted not in self.options.exclude else None

    def _absent(self, kept: Mapping[str, Sequence[Any]], reference: Reference) -> Iterator[str]:
        """What the model gave and should have given: where it is not, and where it may be."""
        task, score, label = self.options.task, self.options.score_column, self.options.label_column
        if task is Task.BINARY and reference.score is None:
            what = f"no column {score!r}" if self._output() is None else f"no value in the column {score!r}"
            found = ", ".join(maybe_scores(kept))
            yield (
                f"{what}: AUC will use logit-spaced bins, score drift is not measured"
                + (f"; within 0..1, and features now: {found}; if one is the score: --score.column" if found else "")
            )
        if task in {Task.MULTICLASS, Task.REGRESSION} and reference.output is None:
            yield f"no values in a column {PREDICTION_FEATURE!r}: drift of what the model gives is not measured"
        if task is Task.BINARY and label not in self.columns and (found := ", ".join(maybe_labels(kept))):
            yield f"no column {label!r}; only 0 and 1, and features now: {found}; if one is the label: --label.column"


def look_at(columns: Mapping[str, list[Any]], options: ProfileOptions) -> Look:
    """Look at a table whose features, score and label are named by the options.

    Columns that are named as categorical or numeric are never left out.
    """
    present = {name: present_values(column) for name, column in columns.items()}
    settled = {*_roles(options), *options.categorical, *options.numeric}
    doubted = {name: why_no_feature(name, values) for name, values in present.items() if name not in settled}
    return Look(columns, present, options, {name: why for name, why in doubted.items() if why is not None})


def _odd_values(
    kept: Mapping[str, Sequence[Any]], columns: Mapping[str, Sequence[Any]], options: ProfileOptions
) -> Iterator[str]:
    """What is to be said of the values of features, `kept` as far as they are present."""
    named = {*options.categorical, *options.numeric}
    free = {name: present for name, present in kept.items() if name not in named}
    if doubtful := [name for name, p in free.items() if len(p) == len(columns[name]) and all_different(p)]:
        yield f"every row has its own whole number, kept as a feature: {', '.join(doubtful)}; if it is an id: --exclude"
    for name, found in ((name, mixed(present)) for name, present in free.items()):
        if found is not None:
            others = found.present - found.numbers
            yield (
                f"{name}: {found.numbers:,} of {found.present:,} values are numbers, {others:,} "
                f"{'is' if others == 1 else 'are'} not, such as {found.example[:40]!r}: taken as categories; "
                f"--numeric {name} takes the numbers, and counts texts as missing, in the log as mistyped too"
            )
    if nothing := [name for name, present in kept.items() if not present]:
        yield f"no feature, since no row has a value: {', '.join(nothing)}"
    if constant := [f"{n} ({p[0]})" for n, p in kept.items() if p and all(value == p[0] for value in p)]:
        yield f"the same value in all rows that have one: {', '.join(constant)}"
    gaps = [name for name, present in kept.items() if len(present) < len(columns[name])]
    infinite = {name: sum(isinstance(v, float) and math.isinf(v) for v in columns[name]) for name in gaps}
    if shown := [f"{name} ({count:,})" for name, count in infinite.items() if count]:
        yield f"infinite values count as missing: {', '.join(shown)}"


def _few_values(rows: int, columns: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """A bin that rests on few values makes of healthy traffic a change."""
    costs = "healthy traffic may then look like drift; take some thousand rows"
    if rows < _FEW:
        yield f"fewer than {_FEW} rows: {costs}"
        return
    counts = {name: len(present) for name, present in columns.items()}
    if few := [f"{name} ({count:,})" for name, count in counts.items() if 0 < count < _FEW]:
        yield f"fewer than {_FEW} values: {', '.join(few)}: {costs}"


def _roles(options: ProfileOptions) -> frozenset[str | None]:
    """Columns that are no features whatever they hold."""
    return frozenset((options.score_column, options.label_column, PREDICTION_FEATURE, *options.exclude))


def _is_incomplete(feature: object) -> bool:
    return isinstance(feature, CategoricalReference) and not feature.complete
