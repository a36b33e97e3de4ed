"""The heart: records of any model and version go in, samples for the page come out.

Guarantee: the state is a function of the records fed and the event times passed to `advance`; feeding the
same records in other batches gives the same counts, as long as the join is not full. Memory is bounded by the
limits of the plans and the capacity of the join. Nothing here reads a clock or a file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import numpy as np

from mlcanary.catalog import OTHER, Task
from mlcanary.columns import LabelColumns, PredictionColumns, joined_labels
from mlcanary.joins.join import Join
from mlcanary.joins.pages import JoinChanges, StoredJoin
from mlcanary.measures.contract import sample
from mlcanary.monitor.backlog import ENOUGH, Backlog, Due, Uncounted
from mlcanary.monitor.figures import Figures
from mlcanary.monitor.looking import Looking
from mlcanary.monitor.model_samples import model_samples, reference_samples, waiting_samples
from mlcanary.monitor.panel import Panel
from mlcanary.monitor.plan import DEFAULT_WINDOWS, MonitorPlan
from mlcanary.monitor.settling import settle
from mlcanary.monitor.users import Sketches, crossover_samples, sketches_of
from mlcanary.records import Label, ModelKey, Prediction, Record, Sample
from mlcanary.stats.accumulator import Tally
from mlcanary.stats.distinct import relative_error

__all__ = ["DEFAULT_WINDOWS", "Monitor", "MonitorPlan"]


class Monitor:
    """Panels by (model, version), and the join between them."""

    def __init__(self, plan: MonitorPlan, now: float, *, stored: bool = False) -> None:
        """`now`: Unix seconds; the windows begin here. `stored`: somebody calls `drain_joins`."""
        self.plan = plan
        self._start = now
        self._terms = object()  # stands for the plan and what is left out, which the reference's figures depend on
        self.panels: dict[ModelKey, Panel] = {}
        self.limited = Tally()
        self._folded: set[tuple[str, ...]] = set()
        self._left_out: tuple[frozenset[str], frozenset[tuple[str, str]]] = (frozenset(), frozenset())
        self.unmatched = Tally()
        self._backlog = Backlog()
        self._now = now
        self._unsettled = 0
        self._uncounted = Uncounted()
        self._looking = Looking()
        self._join = Join(
            plan.join_policies,
            capacity=plan.join_capacity,
            early_ttl=plan.early_ttl,
            stored=stored,
            gives_classes=lambda model: self.plan.model(model).task in (Task.BINARY, Task.MULTICLASS),
        )

    def feed(
        self,
        records: Sequence[Record],
        now: float,
        predictions: Sequence[PredictionColumns] = (),
        labels: Sequence[LabelColumns] = (),
    ) -> None:
        """Take in records, in the order of their lines, and columns of others, of which none is among the records.

        Columns wait until there are enough to be worth joining, and what comes meanwhile waits with them.
        """
        self._now = now
        self._backlog.add(records, predictions, labels)
        if self._backlog.full or not self._backlog.columns:
            self._catch_up()

    def _catch_up(self) -> None:
        """Join what waits, and then decide what was to be decided meanwhile."""
        backlog, self._backlog = self._backlog, Backlog()
        self._feed_columns(backlog.predictions)
        self._feed_records(backlog.records)
        self._join.label_many(joined_labels([replace(x, model=self._known_model(x.model)) for x in backlog.labels]))
        if backlog.due is not None:
            self._join.advance(backlog.due)
        self._unsettled += len(backlog)
        if self._unsettled >= _SETTLED:
            self._settle()
        self._note_folded()

    def look_at(self, features: float, *, joint: bool) -> None:
        """Look at the features of this share of rows from here on; joint drift takes rows or none."""
        self.flush()
        self._looking.share, self._looking.joint = features, joint
        for panel in self.panels.values():
            panel.resting = self._looking.resting

    def _feed_records(self, records: Sequence[Record]) -> None:
        """Records in stretches where no label stands before a prediction of its id: there, predictions may go first."""
        batches: dict[ModelKey, list[Prediction]] = {}
        stretch: list[Prediction] = []
        labels: list[Label] = []
        labelled: set[str] = set()
        busy: dict[ModelKey, None] = dict.fromkeys(self._uncounted)
        for record in records:
            if isinstance(record, Label):
                model = self._known_model(record.model)
                labels.append(record if model == record.model else msgspec.structs.replace(record, model=model))
                labelled.add(record.id)
                continue
            if record.id in labelled:
                self._join_records(stretch, labels, batches)
                stretch, labels, labelled = [], [], set()
            key = self._known(record.key, busy)
            busy[key] = None
            stretch.append(record if key == record.key else msgspec.structs.replace(record, key=key))
        self._join_records(stretch, labels, batches)
        for key, batch in batches.items():
            self.panels[key].on_predictions(self._looking.records(batch, self.panels[key]), self._now)

    def _join_records(
        self, predictions: Sequence[Prediction], labels: Sequence[Label], batches: dict[ModelKey, list[Prediction]]
    ) -> None:
        if predictions:
            segments = [self.plan.model(p.key.model).segment_values(p.features) for p in predictions]
            fresh = self._join.predict_records(predictions, segments)
            for prediction, is_fresh in zip(predictions, fresh.tolist(), strict=True):
                if is_fresh:
                    batches.setdefault(prediction.key, []).append(prediction)
                else:
                    self.panels[prediction.key].outcomes.count_duplicate()
        if labels:
            self._join.label_records(labels)

    def _feed_columns(self, batches: Sequence[PredictionColumns]) -> None:
        """Join requests with what is known of them, and keep them until there are enough to be worth counting."""
        known: list[PredictionColumns] = []
        for batch in batches:
            key = batch.key
            if key not in self.panels:
                key = self._known(key, {b.key: None for b in known} | dict.fromkeys(self._uncounted))
            known.append(batch if key == batch.key else replace(batch, key=key))
        for batch, fresh in zip(known, self._join.predict_many(known), strict=True):
            if not fresh.all():
                self.panels[batch.key].outcomes.count_duplicate(int(np.count_nonzero(~fresh)))
            self._keep(batch if fresh.all() else batch.take(np.flatnonzero(fresh)))

    def _keep(self, batch: PredictionColumns) -> None:
        if len(batch):
            batch = self._looking.columns(batch, self.panels[batch.key])
            self._count(self._uncounted.add(batch, self._now))

    def _count(self, due: Sequence[Due]) -> None:
        """Hand rows to the panels of their versions."""
        for rows, read_at in due:
            self._panel(rows.key, read_at).on_prediction_columns(rows, read_at)

    def flush(self) -> None:
        """Join and count what is kept back; whoever looks at the counters does it first."""
        if len(self._backlog) or self._backlog.due is not None:
            self._catch_up()
        self._settle()
        self._count(self._uncounted.take_all())
        self._note_folded()

    def _note_folded(self) -> None:
        for key, panel in self.panels.items():
            for cap, name in panel.take_folded():
                self._fold(cap, *key, name)

    def advance(self, event_time: float, now: float) -> None:
        """Decide every join whose time has come at `event_time`, once what was fed before is joined."""
        if self._backlog.columns:
            self._backlog.due = event_time  # and `_now` stays: what waits was read then, and its windows begin then
        else:
            self._now = now
            self._join.advance(event_time)

    def samples(self, now: float) -> Iterator[Sample]:
        """Everything that belongs on the page, apart from what the process says about itself."""
        for figures in self.figures(now):
            yield from figures.samples()

    def figures(self, now: float) -> Iterator[Figures]:
        """The same, in groups that are made only where they changed; each before the next one is asked for."""
        self.flush()
        slots = self._share_memory()
        spans = [sample("resolution_seconds", (window,), seconds / slots) for window, seconds in self.plan.windows]
        yield Figures(("windows",), (), None, lambda: spans)
        for model in sorted({key.model for key in self.panels} | set(self.plan.models)):
            plan = self.plan.model(model)
            panels = [panel for key, panel in self.panels.items() if key.model == model]
            yield Figures(("model", model), (), None, partial(model_samples, model, plan, panels))
            yield Figures(("looking", model), (), None, partial(self._looking.samples, model, plan))
            if plan.reference is not None:
                hidden = {name for owner, name in self._left_out[1] if owner == model}
                make = partial(reference_samples, plan.reference, hidden)
                yield Figures(("reference", model), (model,), self._terms, make)
        pending = self._join.pending
        for key, panel in sorted(self.panels.items()):
            info = sample("model_info", (panel.plan.role(key.version), panel.plan.task), 1.0)
            yield Figures((*key, "role"), key, None, partial(iter, (info,)))
            yield from panel.figures(now)
            yield Figures((*key, "waiting"), (), None, partial(waiting_samples, panel, pending.get(key, 0)))
        yield Figures(("joins",), (), None, partial(self._shared_samples, now))

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
        self.flush()
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
        self.flush()
        return {
            "panels": [[*key, panel.plan.edges, panel.dump()] for key, panel in self.panels.items()],
            "unmatched": self.unmatched.dump(),
            "limited": self.limited.dump(),
            "join_names": self._join.names(),
        }

    def load(self, state: Any, joins: StoredJoin, now: float) -> list[str]:
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
        self._join.restore(state["join_names"], joins)
        return problems

    def replan(self, plan: MonitorPlan, now: float) -> list[str]:
        """Go on under another plan; returns what had to start anew, for the log.

        Counters and windows of a version live on as long as its bin edges and the windows stay the same. The
        capacity of the join table takes effect at the next start.
        """
        self.flush()
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
                self.panels[key].resting = self._looking.resting
                self.panels[key].load(panel.dump(), now)
        return problems

    def drain_joins(self) -> JoinChanges:
        """Rows of the join table that changed since the last call, for the checkpoint."""
        self.flush()  # what is counted and what is remembered must be of one moment
        return self._join.drain()

    def redrain_joins(self, changes: JoinChanges) -> None:
        """Give these rows out again at the next `drain_joins`: they could not be stored."""
        self._join.redrain(changes)

    def _panel(self, key: ModelKey, now: float) -> Panel:
        panel = self.panels.get(key)
        if panel is None:
            panel = self.panels[key] = Panel(key, self.plan.model(key.model), self.plan.windows, now)
            panel.resting = self._looking.resting
            self._trim(panel)
        return panel

    def _known(self, key: ModelKey, busy: Collection[ModelKey]) -> ModelKey:
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
            and not self._make_room([k for k in versions if k not in busy])
        ):
            self._fold("versions", *key)
            key = ModelKey(key.model, OTHER)
        self._panel(key, self._now)
        return key

    def _make_room(self, versions: Sequence[ModelKey]) -> bool:
        """Make room by forgetting the version that has been silent longest, if that is longer than its labels take."""
        silent = [
            (panel.last_prediction, key)
            for key in versions
            if (panel := self.panels[key]).last_prediction is not None
            and panel.last_prediction < self._now - panel.plan.join.memory
            and not self._join.pending.get(key)
        ]
        if not silent:
            return False
        self._settle()  # nothing may be left for a version that goes
        del self.panels[min(silent)[1]]
        return True

    def retire(self, now: float) -> None:
        """Forget versions that are silent by the time of reading: a log may be old and still be news."""
        self.flush()
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

    def _known_model(self, model: str | None) -> str | None:
        """The model of a label, or the name that stands for all above the cap."""
        if model is None or len(self.panels) < self.plan.limits.models:
            return model
        models = {k.model for k in self.panels}
        is_known = model in models or model in self.plan.models
        return model if is_known or len(models - {OTHER}) < self.plan.limits.models else OTHER

    def _fold(self, reason: str, *name: str) -> None:
        if (reason, *name) not in self._folded and len(self._folded) < _REMEMBERED_NAMES:
            self._folded.add((reason, *name))
            self.limited.add((reason,))

    def _settle(self) -> None:
        """Bring what the join decided to the panels."""
        self._unsettled = 0
        out = self._join.take()
        for model, count in out.unmatched.items():
            room = (model,) in self.unmatched.counts or len(self.unmatched.counts) <= self.plan.limits.models
            if not room:
                self._fold("models", model)
            self.unmatched.add((model,) if room else (OTHER,), float(count))
        settle(out, lambda key: self._panel(key, self._now), self.plan.model)


_SETTLED = 4 * ENOUGH
"""Rows that are joined before what they decided is counted: of most versions they are few at a time."""

_SLOTS, _FEWEST_SLOTS = 60, 6

_REMEMBERED_NAMES = 10_000
"""Names above a cap that are remembered, to count each once; a flood of more is not counted further."""
