"""The ingest loop: read, decode, feed, make durable, publish. One thread owns all of it.

Guarantee: a page is published only after the state behind it is durable (where there is a state file), so a
restart never shows a counter below a scraped one, and no line is lost or counted twice whatever kills us.
"""

from __future__ import annotations

import logging
import math
import platform
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from mlcanary import __version__
from mlcanary.catalog import CLIENT_DROP_REASONS, OTHER, SHEDDING_DIRECTIONS
from mlcanary.errors import StateError
from mlcanary.exposition.budget import ORDER, SeriesBudget
from mlcanary.exposition.landing import SHOWN
from mlcanary.exposition.page import Page, SourceView
from mlcanary.exposition.pages import PageMaker
from mlcanary.exposition.process import ProcessMetrics
from mlcanary.exposition.sketches import PeerView, merged_samples
from mlcanary.inputs import Feed, Inputs
from mlcanary.measures.contract import sample
from mlcanary.monitor.monitor import Monitor
from mlcanary.records import Reject, Sample
from mlcanary.settings import ExporterSettings
from mlcanary.shedding import Shedding, Step
from mlcanary.sources.checkpoint import Checkpoint
from mlcanary.sources.contract import Block

if TYPE_CHECKING:
    from mlcanary.resources.server import ModelServer  # psutil only where a process is to be watched
    from mlcanary.store.writer import Store  # pyarrow only where a store is asked for

log = logging.getLogger(__name__)

_SHOWN_REJECTS = 20
_LAG_SECONDS = 1.0
_TOO_LONG = "too_long"
_NOT_SAVED_BY_US = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, msgspec.MsgspecError)
"""What taking over a state raises that holds other things than were saved."""
_KNOWN_TIMES = 1000


class Engine:
    """State of one exporter. Call `cycle` from one thread; read `page` from any."""

    def __init__(
        self,
        settings: ExporterSettings,
        *,
        clock: Callable[[], float],
        checkpoint: Checkpoint | None = None,
        server: ModelServer | None = None,
        peers: Callable[[], PeerView | None] = lambda: None,
        revision: str = "unknown",
        feeds: Mapping[str, Feed] = MappingProxyType({}),
        extra: Callable[[], Iterable[Sample]] = tuple,
        store: Store | None = None,
    ) -> None:
        """Restore the saved state, if any, and open the logs. Raises StateError.

        `server`: the model server to watch. `peers`: what other sidecars last gave, None without peers. `feeds`: see
        `Inputs`. `extra`: what else the process says about itself. `store`: keeps what is read.
        """
        now = clock()
        self._clock = clock
        self._settings = settings
        self._checkpoint = checkpoint
        self._revision = revision
        self.monitor = Monitor(settings.plan, now, stored=checkpoint is not None)
        saved = checkpoint.load() if checkpoint is not None else None
        self._restored = saved is not None and bool(saved.get("shown", True))
        self._feeds, self._extra, self._store = feeds, extra, store
        if checkpoint is not None and saved is not None:
            self._restore(checkpoint, saved, now)
        else:
            self._open(None, None, now)
        self._wake: Callable[[], None] = lambda: None
        self._pages = PageMaker(SHOWN)
        self._budget = SeriesBudget(settings.plan.limits.series)
        self._process = ProcessMetrics()
        self._server = server
        self._shedding = Shedding(settings.shedding)
        self._lag_at = now
        self._peers = peers
        self._rejected: Counter[tuple[str, str]] = Counter()
        self._client_dropped: Counter[str] = Counter()
        self._recent: deque[tuple[str, Reject]] = deque(maxlen=_SHOWN_REJECTS)
        self._event_time: dict[str, float] = {}
        self._entries: dict[str, str] = {}
        self._left_out = 0
        self._render_seconds = 0.0
        self._checkpoint_seconds = 0.0
        self._checkpoint_at: float | None = None
        self._checkpoint_errors = 0
        self._loaded_at = now
        self._refused = ""
        self.page = Page()
        self.ready = False
        if saved is None:
            # What lies rotated beside a log now is old and stays unread. Were that not saved before anybody hears
            # that we listen, a kill in the first moments would have the next start take ours for old as well.
            self._save()

    def _restore(self, checkpoint: Checkpoint, saved: Mapping[str, Any], now: float) -> None:
        """Go on from what a checkpoint holds. Raises StateError."""
        try:
            problems = self.monitor.load(saved["monitor"], checkpoint.joins(), now)
            self._open(saved["inputs"], saved.get("store"), now)
        except _NOT_SAVED_BY_US as error:
            raise checkpoint.damaged(error) from error
        for problem in problems:
            log.warning("state not taken over: %s", problem)

    def _open(self, inputs: Any, stored: Any, now: float) -> None:
        """The logs and the store, from where a checkpoint left them."""
        self._inputs = Inputs(self._settings, inputs, feeds=self._feeds, whole=self._store is not None)
        if self._store is not None:
            self._store.restore(stored, now)

    def read_some(self) -> bool:
        """Take in one block of lines; False if there was nothing to read."""
        block = self._inputs.read(self._event_time)
        now = self._clock()
        self._watch_lag(now)
        if block is None:
            if self._inputs.caught_up:
                # Real time is as far as the logs go, so what waits may expire by the clock.
                self.monitor.advance(now, now)
                self.ready = True
            return False
        # The source furthest behind is read first, so every source with lines left is at least as far as this
        # one was: up to there nothing can still arrive.
        reached = self._event_time.get(block.source, -math.inf)
        self.take(block, now)
        if not self._inputs.waiting:
            self.monitor.advance(reached, now)
        return True

    def _watch_lag(self, now: float) -> None:
        """Shed features of rows while the logs grow faster than they are read."""
        if abs(now - self._lag_at) < _LAG_SECONDS:
            return
        self._lag_at = now
        lag = sum(status.lag_bytes for status in self._inputs.status())
        before = self._shedding.step
        if self._shedding.observe(lag, now):
            step = self._shedding.step
            log.warning("%d bytes behind: %s, before %s", lag, step, before)
            self._look_at(step)

    def _look_at(self, step: Step) -> None:
        self._inputs.look_at(step.features)
        self.monitor.look_at(step.features, joint=step.joint)

    @property
    def wants_checkpoint(self) -> bool:
        """A source hands something over to others once the state is durable: publish now."""
        return self._inputs.wants_checkpoint

    def call_when_ready(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from another thread, when it is worth calling `read_some` before the next poll."""
        self._wake = wake
        self._inputs.call_when_ready(wake)

    def take(self, block: Block, now: float) -> None:
        """Decode a block and feed it. Bad lines are counted, shown and left out."""
        decoded = self._inputs.decode(block, now)
        self.monitor.feed(decoded.records, now, decoded.predictions, decoded.labels)
        if self._store is not None:
            self._store.take(decoded, now, len(block.data))
        self._client_dropped.update(decoded.client_dropped)
        if decoded.rejects:
            self._entries[block.source] = block.origin
        for reject in decoded.rejects:
            self._rejected[block.source, reject.reason] += 1
            self._recent.append((block.source, reject))
        reached = self._event_time.get(block.source, -math.inf)
        self._event_time[block.source] = max(reached, decoded.reached(now))

    def publish(self) -> None:
        """Make the state durable, then show it."""
        self._save()
        started = self._clock()
        # Without a saved state, what the logs already held is no traffic of now: born whole, it is none for rate().
        shown = self.ready or self._restored
        self.monitor.retire(started)
        self._take(started, shown=shown)
        sketches, peers = self.monitor.sketches(), self._peers()
        merged = merged_samples(peers, sketches, self.monitor.plan.role, started) if peers is not None and shown else ()
        watched = self._server.samples() if self._server is not None else ()
        process_text, process_openmetrics = self._process.render()
        made = self._pages.page(
            chain(merged, watched, self._self_samples()), before=process_openmetrics, after=process_text
        )
        self.page = Page(
            made.text,
            made.openmetrics,
            families=made.families,
            series=made.series,
            sources=tuple(SourceView(s.source, s.up, s.error, s.lag_bytes, s.lines) for s in self._inputs.status()),
            rejects=tuple(self._recent),
            dropped=dict(self._budget.dropped),
            refused=self._refused,
            peers=() if peers is None else peers.peers,
            sketches=sketches,
            salt=self._settings.salt_fingerprint,
            warnings=(*self._settings.warnings, *self._sampling_warnings()),
            made_at=started,
        )
        self._render_seconds = self._clock() - started

    def _take(self, now: float, *, shown: bool) -> None:
        """Bring the figures of the page up to date, as far as they fit on it."""
        self._pages.take(self.monitor.figures(now) if shown else (), self._budget.stays)
        if self._budget.exceeded(self._pages.series):
            self._budget.fit(list(self.monitor.samples(now)))
            self.monitor.leave_out(self._budget.classes, self._budget.features)
            self._pages.forget()
            self._pages.take(self.monitor.figures(now), self._budget.stays)

    def reload(self, settings: ExporterSettings) -> None:
        """Go on under other settings; counters live on where their bins stay the same."""
        now = self._clock()
        self._save()  # what a broker is not told before we leave, others would read again
        saved = self._inputs.dump()
        self._inputs.close()
        self._inputs = Inputs(settings, saved, feeds=self._feeds, whole=self._store is not None)
        self._inputs.call_when_ready(self._wake)
        self._shedding.replan(settings.shedding)
        self._look_at(self._shedding.step)
        for problem in self.monitor.replan(settings.plan, now):
            log.warning("reload: %s", problem)
        self._settings = settings
        self._budget = SeriesBudget(settings.plan.limits.series)
        self._pages.forget()
        self.monitor.leave_out((), ())
        self._loaded_at = now
        self._refused = ""

    def reload_failed(self, message: str) -> None:
        """Note that a new configuration was refused; the old one stays."""
        self._refused = f"The configuration was refused, the former one stays in force: {message}"

    def close(self) -> None:
        """Save and release everything."""
        if self._store is not None:
            self._store.finish()
        self._save()
        self._inputs.close()
        if self._checkpoint is not None:
            self._checkpoint.close()

    def _save(self) -> None:
        """Write the checkpoint. A full disk must not blind the operator: count it, say it, go on publishing."""
        if self._checkpoint is None:
            # Nothing will ever be more durable than this: a broker's own memory is all that a restart has.
            self._inputs.dump()
            self._inputs.acknowledge()
            return
        started = self._clock()
        changes = self.monitor.drain_joins()
        state: dict[str, Any] = {
            "monitor": self.monitor.dump(),
            "inputs": self._inputs.dump(),
            "shown": self.ready or self._restored,
        }
        if self._store is not None:
            state["store"] = self._store.record(started)
        try:
            self._checkpoint.save(state, changes)
        except StateError as error:
            self.monitor.redrain_joins(changes)
            self._checkpoint_errors += 1
            log.error("checkpoint failed, a restart now would count lines twice: %s", error)  # noqa: TRY400
            return
        self._inputs.acknowledge()
        self._checkpoint_at = self._clock()
        self._checkpoint_seconds = self._checkpoint_at - started
        if self._store is not None:
            self._store.publish(self._checkpoint_at)

    def _self_samples(self) -> Iterator[Sample]:
        """What the process says about itself."""
        for reason in ORDER:
            yield sample("series_dropped", (reason,), float(self._budget.dropped[reason]))
        build = (__version__, self._revision, platform.python_version())
        yield sample("exporter_build_info", build, 1.0)
        yield from self._source_samples()
        for direction, count in zip(SHEDDING_DIRECTIONS, (self._shedding.more, self._shedding.less), strict=True):
            yield sample("shedding_changes_total", (direction,), float(count))
        yield from self._extra()
        if self._store is not None:
            yield from self._store.samples()
        for reason in (*CLIENT_DROP_REASONS, OTHER):
            yield sample("client_dropped_total", (reason,), float(self._client_dropped[reason]))
        self._left_out = max(self._left_out, self._inputs.left_out)
        if self._left_out:
            yield sample("series_limited_total", ("files",), float(self._left_out))
        yield sample("series", (), float(self.page.series))
        yield sample("render_duration_seconds", (), self._render_seconds)
        if self._checkpoint is not None:
            yield sample("checkpoint_errors_total", (), float(self._checkpoint_errors))
            yield sample("checkpoint_duration_seconds", (), self._checkpoint_seconds)
            if self._checkpoint_at is not None:
                yield sample("checkpoint_timestamp_seconds", (), self._checkpoint_at)
        yield sample("config_last_reload_successful", (), 0.0 if self._refused else 1.0)
        yield sample("config_last_reload_success_timestamp_seconds", (), self._loaded_at)

    def _sampling_warnings(self) -> Iterator[str]:
        step = self._shedding.step
        if not step.joint:
            yield f"load shedding: joint drift rests, features of {step.features:.4g} of the rows are counted"
        for source, weights in self._inputs.weights().items():
            if warning := weights.warning():
                yield f"{source}: {warning}"

    def _leave_closed(self, followed: set[str]) -> None:
        """Rejects of files that are not followed any more go to the row of their pattern; their times are forgotten."""
        for source in [name for name in self._entries if name not in followed]:
            if (entry := self._entries[source]) in followed:
                del self._entries[source]
                for key in [key for key in self._rejected if key[0] == source]:
                    self._rejected[entry, key[1]] += self._rejected.pop(key)
        if len(self._event_time) > _KNOWN_TIMES:
            self._event_time = {name: ts for name, ts in self._event_time.items() if name in followed}

    def _source_samples(self) -> Iterator[Sample]:
        reasons = self._inputs.reasons()
        for source, weights in self._inputs.weights().items():
            if weights.max_weight is not None:
                yield sample("sampling_left_out_total", (source,), float(weights.left_out))
            if weights.max_weight is not None or weights.unequal:
                yield sample("sampling_unequal_weights_total", (source,), float(weights.unequal))
        statuses = self._inputs.status()
        self._leave_closed({status.source for status in statuses})
        for status in statuses:
            source = status.source
            yield sample("up", (source,), float(status.up))
            yield sample("log_lines_total", (source,), float(status.lines))
            yield sample("log_read_bytes_total", (source,), float(status.bytes_read))
            yield sample("log_lag_bytes", (source,), float(status.lag_bytes))
            for reason in reasons:
                yield sample("log_parse_errors_total", (source, reason), float(self._rejected[source, reason]))
            yield sample("log_parse_errors_total", (source, _TOO_LONG), float(status.oversized_lines))
            for kind, count in status.rotations.items():
                yield sample("log_rotations_total", (source, kind), float(count))
            for reason, count in status.lost.items():
                yield sample("log_lost_total", (source, reason), float(count))
