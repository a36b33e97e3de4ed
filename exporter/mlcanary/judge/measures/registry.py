"""Which measures an input has. `contract.Counts` says what the columns are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from mlcanary.catalog import Family
from mlcanary.judge.contract import Plan, Structure
from mlcanary.judge.measures.mean_measures import AUCMeasure, MeanMeasure, Sums, UserMeasure
from mlcanary.judge.measures.measure import Measure
from mlcanary.judge.measures.proportion_measure import ProportionMeasure, Trials
from mlcanary.stats.accumulator import Floats

LATENCY_SHARES = (0.5, 0.1, 0.05, 0.01)
"""Shares of the baseline's requests above the latency edges that are watched; the one nearest .05 has the margin."""

NAMED_USERS = 0.9
"""Part of the baseline's mature predictions that must name a user for business figures to be judged over users."""

WEIGHTS: Mapping[str, float] = {"recall": 1 / 3, "precision": 1 / 3, "jaccard": 1 / 3}
"""Of measures in the mean of their family; 1 for all others. Per-class measures say much the same three times."""


def measures_of(name: str, structure: Structure, known: Mapping[str, Structure], plan: Plan) -> Iterator[Measure]:
    """The measures of an input that is seen for the first time; `known`: all inputs of this step and those before."""
    history = np.array(structure.history, dtype=np.float64)
    if name == "requests":
        yield ProportionMeasure("errors", Family.ERRORS, _failed, history, plan)
    elif name == "latency":
        edges, primary = latency_edges(history)
        if edges:
            yield ProportionMeasure("slow", Family.LATENCY, partial(_above, edges), history, plan, primary)
    elif name == "confusion":
        classes = len(structure.cells)
        yield ProportionMeasure("accuracy", Family.QUALITY, partial(_wrong, classes), history, plan)
        for measure, split in (("recall", _missed), ("precision", _mistaken), ("jaccard", _either)):
            shares, named = partial(split, classes), structure.cells[:-1]
            yield ProportionMeasure(measure, Family.QUALITY, shares, history, plan, None, named)
    elif name in {"log_loss", "squared_error", "ndcg"}:
        unit = {"log_loss": "nats", "squared_error": "squared"}.get(name, "ratio")
        sign = -1.0 if name == "ndcg" else 1.0
        yield MeanMeasure(name, Family.QUALITY, unit, _sums, history, plan, sign)
    elif name == "scores":
        yield AUCMeasure(len(structure.cells), plan)
    elif name == "mature":
        yield from _business(history, known.get("users"), plan)


def _business(history: Floats, users: Structure | None, plan: Plan) -> Iterator[Measure]:
    """Over users where nearly all requests name one, since requests of one user are alike; else over requests."""
    yield ProportionMeasure("cvr", Family.BUSINESS, _click_without_conversion, history, plan)
    if users is not None and sum(users.history[: len(users.cells)]) >= NAMED_USERS * history[0]:
        buckets, past = len(users.cells), np.array(users.history, dtype=np.float64)
        yield UserMeasure("ctr", "ratio", buckets, 1, None, past, plan)
        yield UserMeasure("conversion", "ratio", buckets, 2, None, past, plan)
        yield UserMeasure("value", "per prediction", buckets, 3, 4, past, plan)
        return
    yield ProportionMeasure("ctr", Family.BUSINESS, _no_click, history, plan)
    yield ProportionMeasure("conversion", Family.BUSINESS, _no_conversion, history, plan)
    yield MeanMeasure("value", Family.BUSINESS, "per prediction", _value, history, plan, -1.0)


def input_of(measure: Measure, name: str) -> str:
    """The input whose counts a measure takes; `name`: the one that it was born with."""
    return "users" if isinstance(measure, UserMeasure) else name


def latency_edges(history: Floats) -> tuple[tuple[int, ...], int]:
    """Buckets after whose upper edges shares nearest to `LATENCY_SHARES` lie, and which of them has the margin.

    Edges that nearly all or no requests are above tell nothing. Without a history: none.
    """
    total = float(history.sum())
    if total <= 0:
        return (), 0
    above = 1.0 - np.cumsum(history)[:-1] / total
    usable = np.flatnonzero((above > 0.001) & (above < 0.999))
    if not len(usable):
        return (), 0
    nearest = [int(usable[np.abs(np.log(above[usable] / share)).argmin()]) for share in LATENCY_SHARES]
    edges = tuple(sorted(set(nearest)))
    return edges, edges.index(nearest[2])


def _failed(c: Floats) -> list[Trials]:
    return [(float(c[0] + c[1]), float(c[1]))]


def _above(edges: tuple[int, ...], c: Floats) -> list[Trials]:
    total = float(c.sum())
    return [(total, float(c[edge + 1 :].sum())) for edge in edges]


def _square(classes: int, c: Floats) -> Floats:
    matrix: Floats = c.reshape(classes, classes + 1)
    return matrix


def _wrong(classes: int, c: Floats) -> list[Trials]:
    total = float(c.sum())
    return [(total, total - float(np.trace(_square(classes, c))))]


def _missed(classes: int, c: Floats) -> list[Trials]:
    """Of each class: its labels, those predicted otherwise."""
    matrix = _square(classes, c)
    return [(float(row.sum()), float(row.sum() - row[i])) for i, row in enumerate(matrix[:-1])]


def _mistaken(classes: int, c: Floats) -> list[Trials]:
    """Of each class: its predictions, those that were another class."""
    matrix = _square(classes, c)
    return [(float(column.sum()), float(column.sum() - column[i])) for i, column in enumerate(matrix.T[: classes - 1])]


def _either(classes: int, c: Floats) -> list[Trials]:
    """Of each class: all that were or were called so, the wrong ones.

    The share of the right ones is the Jaccard index J. F1 is 2 J / (1 + J): it rises and falls with J, but is no share
    of trials, which could be tested.
    """
    right = np.diagonal(_square(classes, c))
    pairs = zip(_missed(classes, c), _mistaken(classes, c), right.tolist(), strict=False)
    return [(labels + called - hit, labels + called - 2.0 * hit) for (labels, _), (called, _), hit in pairs]


def _sums(c: Floats) -> Sums:
    return float(c[0]), float(c[1]), float(c[2])


def _no_click(c: Floats) -> list[Trials]:
    return [(float(c[0]), float(c[0] - c[1]))]


def _no_conversion(c: Floats) -> list[Trials]:
    return [(float(c[0]), float(c[0] - c[2]))]


def _click_without_conversion(c: Floats) -> list[Trials]:
    return [(float(c[1]), float(c[1] - c[3]))]


def _value(c: Floats) -> Sums:
    return float(c[0]), float(c[4]), float(c[5])
