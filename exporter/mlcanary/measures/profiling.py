"""Columns to a reference profile: which features are numbers, which are names, and how they are distributed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog import PREDICTION_FEATURE, Task
from mlcanary.errors import ConfigError
from mlcanary.measures.reference import (
    SAMPLE_FEATURES,
    CategoricalReference,
    FeatureReference,
    NumericReference,
    Reference,
    categorical_reference,
    choosing,
    choosing_rows,
    numeric_reference,
    shuffled,
)
from mlcanary.records import canonical_class


@dataclass(frozen=True)
class ProfileOptions:
    """`bins` per numeric feature, `score_bins` for the output, `categories` with a bin per categorical feature.

    `task` decides what the model's output is: the score column of a binary classifier, the column `prediction` of a
    multiclass or regression model. `label_column` is never a feature; None if there is no such column. `sample_rows`
    of the file are kept as bin numbers, for joint drift. Of the columns in `numeric` the numbers are taken and texts
    left out, those in `categorical` are names.
    """

    bins: int = 20
    score_bins: int = 50
    categories: int = 50
    score_column: str = "score"
    exclude: Collection[str] = ()
    categorical: Collection[str] = ()
    model: str | None = None
    task: Task = Task.BINARY
    label_column: str | None = None
    sample_rows: int = 0
    numeric: Collection[str] = ()


def profile_columns(columns: Mapping[str, Sequence[Any]], options: ProfileOptions) -> Reference:
    """Profile columns of equal length; None, NaN and infinities count as missing.

    A column is numeric if every present value is a number and it is not listed in `categorical`, or if it is listed in
    `numeric`. Raises ConfigError for columns that the options name and that do not exist, for values that are no
    numbers, texts or booleans, and without any row.
    """
    named = {*options.exclude, *options.categorical, *options.numeric}
    if unknown := sorted(named - set(columns)):
        raise ConfigError(f"no column {', '.join(unknown)}; allowed: {', '.join(sorted(columns))}")
    if both := sorted({*options.categorical} & {*options.numeric}):
        raise ConfigError(f"found {', '.join(both)} as categorical and as numeric; allowed: one of them")
    rows = max((len(column) for column in columns.values()), default=0)
    if rows == 0:
        raise ConfigError("the file has no rows", hint="profile the training or validation set, some thousand rows")
    features: dict[str, FeatureReference] = {}
    for name, column in columns.items():
        if name in {options.score_column, options.label_column, PREDICTION_FEATURE} or name in options.exclude:
            continue  # what the model gave, and what it should have given, are no features
        feature = _feature(name, column, options)
        if feature is not None:
            features[name] = feature
    score = _score(columns, options) if options.task is Task.BINARY else None
    return Reference(
        features,
        score,
        rows,
        options.model,
        _prediction(columns, options),
        _target_mean(columns, options),
        _sample(columns, features, rows, options.sample_rows),
    )


def _prediction(columns: Mapping[str, Sequence[Any]], options: ProfileOptions) -> FeatureReference | None:
    """The predicted numbers of a regression model, the predicted classes of a multiclass one."""
    column = columns.get(PREDICTION_FEATURE, ())
    if options.task is Task.REGRESSION:
        numbers = _numbers(PREDICTION_FEATURE, column)
        return numeric_reference(numbers, options.score_bins) if numbers else None
    classes = [text for text in map(canonical_class, column) if text is not None]
    if options.task is not Task.MULTICLASS or not classes:
        return None
    return categorical_reference(classes, options.categories)


def _target_mean(columns: Mapping[str, Sequence[Any]], options: ProfileOptions) -> float | None:
    """Mean label of a regression model; None without labels."""
    if options.task is not Task.REGRESSION or options.label_column is None:
        return None
    labels = _numbers(options.label_column, columns.get(options.label_column, ()))
    return math.fsum(labels) / len(labels) if labels else None


def _numbers(name: str, column: Sequence[Any]) -> list[float]:
    """The numbers of a column that may hold nothing else."""
    present = present_values(column)
    if wrong := [value for value in present if not isinstance(value, int | float)]:
        raise ConfigError(f"column {name}: found {wrong[0]!r}; allowed: numbers, as the task is regression")
    return [float(value) for value in present]


def _feature(name: str, column: Sequence[Any], options: ProfileOptions) -> FeatureReference | None:
    present = present_values(column)
    missing = float(len(column) - len(present))
    if not present:
        return None
    numbers = [value for value in present if isinstance(value, int | float)]
    if name in options.numeric and not numbers:
        raise ConfigError(f"column {name}: found {present[0]!r} and no number; allowed: numbers, as --numeric names it")
    if name in options.numeric or (name not in options.categorical and len(numbers) == len(present)):
        lacking = float(len(column) - len(numbers))  # a text counts as no value in the log either
        return numeric_reference([float(value) for value in numbers], options.bins, lacking)
    names = [canonical_class(value) for value in present]
    if None in names:
        raise ConfigError(
            f"column {name}: found {_type_of(present[names.index(None)])}; allowed: numbers, texts and booleans",
            hint=f"write it as one of these, or leave it out: --exclude {name}",
        )
    chosen_by = choosing_rows(len(column))[[not _missing(value) for value in column]]
    return categorical_reference([text for text in names if text is not None], options.categories, missing, chosen_by)


def _type_of(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list or an object"
    return "a time" if isinstance(value, date) else f"a value of the type {type(value).__name__}"


def _sample(
    columns: Mapping[str, Sequence[Any]], features: Mapping[str, FeatureReference], rows: int, wanted: int
) -> dict[str, NDArray[np.int32]] | None:
    """Bin numbers of rows chosen without replacement, in random order; the seed is fixed.

    Rows that chose which categories have a bin are no sample of them: they are left out where there are such.
    """
    covered = list(features.items())[:SAMPLE_FEATURES]
    if wanted == 0 or not covered:
        return None
    named = (feature for _, feature in covered if isinstance(feature, CategoricalReference))
    counted = min((float(feature.counts.sum()) + feature.missing for feature in named), default=rows)
    unused = choosing(rows) if counted < rows - 0.5 else 0  # a fraction, as missing rows are in proportion
    places = shuffled(rows)[unused:][:wanted].tolist()
    return {
        name: feature.bin_numbers([columns[name][place] for place in places]).astype(np.int32)
        for name, feature in covered
    }


def _score(columns: Mapping[str, Sequence[Any]], options: ProfileOptions) -> NumericReference | None:
    column = () if options.score_column in options.exclude else columns.get(options.score_column, ())
    scores = present_values(column)
    if not scores:
        return None
    if not all(isinstance(s, int | float) and 0 <= s <= 1 for s in scores):
        raise ConfigError(
            f"column {options.score_column}: found a value outside 0..1; allowed: probabilities of the positive class",
            hint="name the right column by --score.column, or leave the score out by --exclude",
        )
    return numeric_reference([float(s) for s in scores], options.score_bins)


def present_values(column: Sequence[Any]) -> list[Any]:
    """What a profile takes of a column: all but None, NaN and infinite numbers.

    >>> present_values([1, None, float("nan"), float("inf"), "a"])
    [1, 'a']
    """
    return [value for value in column if not _missing(value)]


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
