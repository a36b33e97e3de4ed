"""Brings what the join decided to the panels of the versions that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from mlcanary.joins.decisions import JoinOutcomes
from mlcanary.joins.rows import Event, Grown, Joined
from mlcanary.measures.contract import Labeled, Matured, Outcome
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.panel import Panel
from mlcanary.records import ModelKey

T = TypeVar("T")


def settle(out: JoinOutcomes, panel: Callable[[ModelKey], Panel], plan: Callable[[str], ModelPlan]) -> None:
    """Hand every outcome to the panel of its version; `plan` of a model by its name."""

    def labeled(joined: Joined) -> Labeled:
        return _labeled(joined, plan(joined.waiting.key.model))

    for (key, result), count in out.results.items():
        panel(key).outcomes.count_join(result, count)
    odd = out.odd
    for key, events in _by_key((e.waiting.key, _outcome(e)) for e in odd.events).items():
        panel(key).on_events(events)
    for key, rows in _by_key((x.waiting.key, labeled(x)) for x in odd.provisional).items():
        panel(key).on_provisional(rows)
    for columns in out.provisional:
        panel(columns.key).on_provisional_columns(columns)
    for key, rows in _by_key((x.waiting.key, labeled(x)) for x in odd.joined).items():
        panel(key).on_labeled(rows, out.newest.get(key))
    for columns in out.joined:
        panel(columns.key).on_labeled_columns(columns, out.newest.get(columns.key))
    for key, grown in _by_key((x.waiting.key, _matured(x, labeled)) for x in odd.matured).items():
        panel(key).on_matured(grown)
    for columns in out.matured:
        panel(columns.key).on_matured_columns(columns)


def _labeled(joined: Joined, plan: ModelPlan) -> Labeled:
    waiting, label, label_ts = joined
    return Labeled(
        label,
        waiting.predicted,
        waiting.score,
        plan.is_positive(label),
        label_ts - waiting.ts,
        waiting.scores,
        waiting.items,
        waiting.user,
        waiting.segments,
        waiting.assumed,
    )


def _matured(grown: Grown, labeled: Callable[[Joined], Labeled]) -> Matured:
    w = grown.waiting
    known = labeled(Joined(w, w.label, w.label_ts)) if w.label is not None else None
    return Matured(w.ts, known, grown.events, w.user, w.segments)


def _outcome(event: Event) -> Outcome:
    return Outcome(event.event, event.value, event.waiting.ts, event.waiting.user, event.waiting.segments)


def _by_key(pairs: Iterable[tuple[ModelKey, T]]) -> dict[ModelKey, list[T]]:
    """Batches in the order in which their keys came."""
    batches: dict[ModelKey, list[T]] = {}
    for key, value in pairs:
        batches.setdefault(key, []).append(value)
    return batches
