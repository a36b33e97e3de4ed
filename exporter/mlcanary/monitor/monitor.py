"""The heart: records of any model and version go in, samples for the page come out.

Guarantee: the state is a function of the records fed and the event times passed to `advance`; feeding the
same records in other batches gives the same counts. Memory is bounded by the limits of the plans and the
capacity of the join table. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from typing import Any, TypeVar

import msgspec

from mlcanary.catalog import OTHER, Role
from mlcanary.joins.machine import JoinMachine
from mlcanary.joins.policy import JoinPolicy
from mlcanary.joins.rows import Changes, Event, Grown, Joined, Key, Outcomes, Waiting
from mlcanary.measures.contract import Labeled, Matured, Outcome, sample
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.measures.reference import NumericReference
from mlcanary.monitor.figures import Figures
from mlcanary.monitor.panel import Panel
from mlcanary.monitor.users import Sketches, crossover_samples, sketches_of
from mlcanary.records import Label, ModelKey, Prediction, Record, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.distinct import relative_error
from mlcanary.stats.roc_auc import below

T = TypeVar("T")

DEFAULT_WINDOWS: tuple[tuple[str, float], ...] = (("5m", 300.0), ("1h", 3600.0))


@dataclass(frozen=True)
class MonitorPlan:
    """`models` by name; `default` for every other model. Seconds throughout.

    A version of which nothing was read for `version_retention`, and for as long as its labels take, is forgotten.
    """

    models: Mapping[str, ModelPlan] = field(default_factory=dict)
    default: ModelPlan = field(default_factory=ModelPlan)
    windows: tuple[tuple[str, float], ...] = DEFAULT_WINDOWS
    join_capacity: int = 200_000
    early_ttl: float = 600.0
    limits: Limits = field(default_factory=Limits)
    version_retention: float = 86_400.0

    @property
    def join_policies(self) -> dict[str, JoinPolicy]:
        """Waiting times by model; "" stands for every other one."""
        return {"": self.default.join, **{name: model.join for name, model in self.models.items()}}

    def model(self, name: str) -> ModelPlan:
        """The plan of a model."""
        return self.models.get(name, self.default)

    def role(self, model: str, version: str) -> Role:
        """The part that a version of a model plays."""
        return self.model(model).role(version)


class Monitor:
    """Panels by (model, version), and the join between them."""

    def __init__(self, plan: MonitorPlan, now: float) -> None:
        """`now`: Unix seconds; the windows begin here."""
        self.plan = plan
        self._start = now
        self._terms = object()  # stands for the plan and what is left out, which the reference's figures depend on
        self.panels: dict[ModelKey, Panel] = {}
        self.limited = Tally()
        self._folded: set[tuple[str, ...]] = set()
        self._left_out: tuple[frozenset[str], frozenset[tuple[str, str]]] = (frozenset(), frozenset())
        self.unmatched = Tally()
        self._join = JoinMachine(plan.join_policies, capacity=plan.join_capacity, early_ttl=plan.early_ttl)

    def feed(self, records: Sequence[Record], now: float) -> None:
        """Take in records, in the order of their lines."""
        batches: dict[ModelKey, list[Prediction]] = {}
        for record in records:
            if isinstance(record, Label):
                self._join.label(self._known_model(record))
                continue
            key = self._known(record.key, now, batches)
            prediction = record if key == record.key else msgspec.structs.replace(record, key=key)
            if self._join.predict(prediction, self.plan.model(key.model).segment_values(prediction.features)):
                batches.setdefault(key, []).append(prediction)
            else:
                self.panels[key].outcomes.count_duplicate()
        for key, batch in batches.items():
            self.panels[key].on_predictions(batch, now)
        self._settle(self._join.take(), now)
        for key, panel in self.panels.items():
            for cap, name in panel.take_folded():
                self._fold(cap, *key, name)

    def advance(self, event_time: float, now: float) -> None:
        """Decide every join whose time has come at `event_time`."""
        self._join.advance(event_time)
        self._settle(self._join.take(), now)

    def samples(self, now: float) -> Iterator[Sample]:
        """Everything that belongs on the page, apart from what the process says about itself."""
        for figures in self.figures(now):
            yield from figures.samples()

    def figures(self, now: float) -> Iterator[Figures]:
        """The same, in groups that are made only where they changed; each before the next one is asked for."""
        slots = self._share_memory()
        spans = [sample("resolution_seconds", (window,), seconds / slots) for window, seconds in self.plan.windows]
        yield Figures(("windows",), (), None, lambda: spans)
        for model in sorted({key.model for key in self.panels} | set(self.plan.models)):
            plan = self.plan.model(model)
            yield Figures(("model", model), (), None, partial(self._model_samples, model, plan))
            if plan.reference is not None:
                stamp = self._terms
                yield Figures(("reference", model), (model,), stamp, partial(self._reference_samples, model, plan))
        for key, panel in sorted(self.panels.items()):
            info = sample("model_info", (panel.plan.role(key.version), panel.plan.task), 1.0)
            yield Figures((*key, "role"), key, None, partial(iter, (info,)))
            yield from panel.figures(now)
            yield Figures((*key, "waiting"), (), None, partial(self._waiting_samples, panel))
        yield Figures(("joins",), (), None, partial(self._shared_samples, now))

    def _waiting_samples(self, panel: Panel) -> Iterator[Sample]:
        key = panel.key
        yield sample("label_join_pending", key, float(self._join.pending.get(key, 0)))
        if panel.last_prediction is not None:
            yield sample("last_prediction_timestamp_seconds", key, panel.last_prediction)
        if panel.last_label is not None:
            yield sample("last_label_timestamp_seconds", key, panel.last_label)

    def _shared_samples(self, now: float) -> Iterator[Sample]:
        """What belongs to no version alone."""
        if users := sketches_of(self.panels.values()):
            yield sample("daily_active_users_relative_error", (), relative_error())
            yield from crossover_samples(users, self.plan.role, now)
        for name, count in self.unmatched.items():
            yield sample("labels_unmatched_total", name, count)
        for name, count in self.limited.items():
            yield sample("series_limited_total", name, count)
        yield sample("label_join_capacity", (), float(self._join.capacity))

    def sketches(self) -> Sketches:
        """Users by model, version and day, as they are now."""
        return {key: users.copy() for key, users in sketches_of(self.panels.values()).items()}

    def leave_out(self, classes: Collection[str], features: Collection[tuple[str, str]]) -> None:
        """Make no samples of these classes and (model, feature) pairs any more: they do not fit on the page."""
        if (left_out := (frozenset(classes), frozenset(features))) != self._left_out:
            self._left_out = left_out
            self._terms = object()
            for panel in self.panels.values():
                self._trim(panel)

    def _trim(self, panel: Panel) -> None:
        classes, features = self._left_out
        panel.leave_out(classes, {name for model, name in features if model == panel.key.model})

    def dump(self) -> Any:
        """Everything but the join table, in plain values; the table goes row by row through `drain_joins`."""
        return {
            "panels": [[*key, panel.plan.edges, panel.dump()] for key, panel in self.panels.items()],
            "unmatched": self.unmatched.dump(),
            "limited": self.limited.dump(),
        }

    def load(self, state: Any, joins: Iterator[tuple[Key, bytes]], now: float) -> list[str]:
        """Take over a dumped state; returns what could not be taken over, for the log.

        A version whose bin edges changed (another reference profile) starts anew: its old counts lie in bins
        that no longer exist. Prometheus sees that as a counter reset.
        """
        problems = []
        for model, version, edges, dumped in state["panels"]:
            key = ModelKey(model, version)
            panel = self._panel(key, now)
            if edges != panel.plan.edges:
                problems.append(f"{model}/{version}: bin edges changed, its counters start anew")
                continue
            panel.load(dumped, now)
        self.unmatched.load(state["unmatched"])
        self.limited.load(state["limited"])
        self._join.restore(joins)
        return problems

    def replan(self, plan: MonitorPlan, now: float) -> list[str]:
        """Go on under another plan; returns what had to start anew, for the log.

        Counters and windows of a version live on as long as its bin edges and the windows stay the same. The
        capacity of the join table takes effect at the next start.
        """
        problems = []
        same_windows = plan.windows == self.plan.windows
        self.plan = plan
        self._terms = object()
        self._join.set_policies(plan.join_policies)
        for key, panel in list(self.panels.items()):
            model = plan.model(key.model)
            if model.edges != panel.plan.edges:
                problems.append(f"{key.model}/{key.version}: bin edges changed, its counters start anew")
                del self.panels[key]
            elif same_windows:
                panel.replan(model)
            else:
                self.panels[key] = Panel(key, model, plan.windows, now)
                self.panels[key].load(panel.dump(), now)
        return problems

    def drain_joins(self) -> Changes:
        """Rows of the join table that changed since the last call, for the checkpoint."""
        return self._join.drain()

    def redrain_joins(self, changes: Changes) -> None:
        """Give these rows out again at the next `drain_joins`: they could not be stored."""
        self._join.redrain(changes)

    def _panel(self, key: ModelKey, now: float) -> Panel:
        panel = self.panels.get(key)
        if panel is None:
            panel = self.panels[key] = Panel(key, self.plan.model(key.model), self.plan.windows, now)
            self._trim(panel)
        return panel

    def _known(self, key: ModelKey, now: float, busy: Collection[ModelKey]) -> ModelKey:
        """The key itself, or the one that stands for all above the caps. The key has a panel from here on."""
        if key in self.panels:
            return key
        models = {k.model for k in self.panels} - {OTHER}
        versions = [k for k in self.panels if k.model == key.model and k.version != OTHER]
        if not versions and key.model not in self.plan.models and len(models) >= self.plan.limits.models:
            self._fold("models", key.model)
            key = ModelKey(OTHER, OTHER)
        elif (
            len(versions) >= self.plan.limits.versions
            and key.version not in self.plan.model(key.model).roles
            and not self._make_room([k for k in versions if k not in busy], now)
        ):
            self._fold("versions", *key)
            key = ModelKey(key.model, OTHER)
        self._panel(key, now)
        return key

    def _make_room(self, versions: Sequence[ModelKey], now: float) -> bool:
        """Make room by forgetting the version that has been silent longest, if that is longer than its labels take."""
        silent = [
            (panel.last_prediction, key)
            for key, panel in ((key, self.panels[key]) for key in versions)
            if panel.last_prediction is not None
            and panel.last_prediction < now - panel.plan.join.memory
            and not self._join.pending.get(key)
        ]
        if not silent:
            return False
        del self.panels[min(silent)[1]]
        return True

    def retire(self, now: float) -> None:
        """Forget versions that are silent by the time of reading: a log may be old and still be news."""
        for key, panel in list(self.panels.items()):
            patience = max(self.plan.version_retention, panel.plan.join.memory)
            if panel.last_seen < now - patience and not self._join.pending.get(key):
                del self.panels[key]

    def _share_memory(self) -> int:
        """Former states that each window may keep, so that all of them fit into the memory for windows."""
        state = sum(panel.nbytes for panel in self.panels.values()) * max(1, len(self.plan.windows))
        slots = max(_FEWEST_SLOTS, min(_SLOTS, self.plan.limits.window_bytes // max(1, state)))
        for panel in self.panels.values():
            panel.set_slots(slots)
        return slots

    def _known_model(self, label: Label) -> Label:
        """The label itself, or under the name that stands for all models above the cap."""
        if label.model is None or len(self.panels) < self.plan.limits.models:
            return label
        models = {k.model for k in self.panels}
        if label.model in models or label.model in self.plan.models or len(models - {OTHER}) < self.plan.limits.models:
            return label
        return msgspec.structs.replace(label, model=OTHER)

    def _fold(self, reason: str, *name: str) -> None:
        if (reason, *name) not in self._folded and len(self._folded) < _REMEMBERED_NAMES:
            self._folded.add((reason, *name))
            self.limited.add((reason,))

    def _settle(self, out: Outcomes, now: float) -> None:
        """Bring what the join decided to the panels."""
        for key, result in out.results:
            self._panel(key, now).outcomes.count_join(result)
        for model in out.unmatched:
            room = (model,) in self.unmatched.counts or len(self.unmatched.counts) <= self.plan.limits.models
            if not room:
                self._fold("models", model)
            self.unmatched.add((model,) if room else (OTHER,))
        for key, events in _by_key((e.waiting.key, _outcome(e)) for e in out.events).items():
            self._panel(key, now).on_events(events)
        for key, labeled in _by_key((x.waiting.key, self._labeled(x)) for x in out.provisional).items():
            self._panel(key, now).on_provisional(labeled)
        newest: dict[ModelKey, float] = {}
        for x in out.joined:
            if not x.waiting.assumed:
                newest[x.waiting.key] = max(newest.get(x.waiting.key, x.label_ts), x.label_ts)
        for key, labeled in _by_key((x.waiting.key, self._labeled(x)) for x in out.joined).items():
            self._panel(key, now).on_labeled(labeled, newest.get(key))
        for key, matured in _by_key((grown.waiting.key, self._matured(grown)) for grown in out.matured).items():
            self._panel(key, now).on_matured(matured)

    def _labeled(self, joined: Joined) -> Labeled:
        waiting, label, label_ts = joined
        return Labeled(
            label,
            waiting.predicted,
            waiting.score,
            self.plan.model(waiting.key.model).is_positive(label),
            label_ts - waiting.ts,
            waiting.scores,
            waiting.items,
            waiting.user,
            waiting.segments,
            waiting.assumed,
        )

    def _matured(self, grown: Grown) -> Matured:
        w: Waiting = grown.waiting
        labeled = self._labeled(Joined(w, w.label, w.label_ts)) if w.label is not None else None
        return Matured(w.ts, labeled, grown.events, w.user, w.segments)

    def _model_samples(self, model: str, plan: ModelPlan) -> Iterator[Sample]:
        """Thresholds, edges, shares and events: what belongs to a model, whatever its versions."""
        for objective, value in plan.thresholds().items():
            yield sample("objective_threshold", (model, objective), value)
        yield sample("bin_edges_info", (model, plan.edges), 1.0)
        for version, share in plan.split.items():
            yield sample("expected_share_ratio", (model, version), share)
        for meaning, event in (("click", plan.clicks), ("conversion", plan.conversions)):
            if any(panel.business.seen(event) for key, panel in self.panels.items() if key.model == model):
                yield sample("business_event_info", (model, event, meaning), 1.0)
        yield sample("label_maturity_seconds", (model,), plan.join.maturity)

    def _reference_samples(self, model: str, plan: ModelPlan) -> Iterator[Sample]:
        """The bins of a reference, and what was in them; without the label `model`."""
        if plan.reference is None:
            return
        for name, feature in plan.reference.watched.items():
            if (model, name) in self._left_out[1]:
                continue
            total = float(feature.counts.sum())
            yield sample("feature_reference_observations", (name,), total)
            yield sample("feature_reference_missing_ratio", (name,), feature.missing_ratio)
            rows = {"feature_reference_ratio": feature.counts / total}
            if isinstance(feature, NumericReference):
                rows["feature_reference_below_ratio"] = below(feature.counts) / total
                rows["feature_reference_gap"] = feature.gaps
                rows["feature_reference_position"] = feature.positions
                yield sample("feature_reference_stddev", (name,), feature.stddev)
                for label in compress(feature.bins, feature.points):
                    yield sample("feature_reference_point", (name, label), 1.0)
            for family, values in rows.items():
                for label, value in zip(feature.bins, values.tolist(), strict=True):
                    yield sample(family, (name, label), value)


def _outcome(event: Event) -> Outcome:
    return Outcome(event.event, event.value, event.waiting.ts, event.waiting.user, event.waiting.segments)


def _by_key(pairs: Iterable[tuple[ModelKey, T]]) -> dict[ModelKey, list[T]]:
    """Batches in the order in which their keys came."""
    batches: dict[ModelKey, list[T]] = {}
    for key, value in pairs:
        batches.setdefault(key, []).append(value)
    return batches


_SLOTS, _FEWEST_SLOTS = 60, 6

_REMEMBERED_NAMES = 10_000
"""Names above a cap that are remembered, to count each once; a flood of more is not counted further."""
