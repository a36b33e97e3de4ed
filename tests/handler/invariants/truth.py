"""What really happens: traffic, scrapes of it, and what a Prometheus would answer about it.

Traffic follows the true weights of a router, continuously. A scrape keeps what the counters were; queries are answered
from the newest one by the table of `handler_world`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import handler_world
from handler.invariants.memory_router import Router
from handler_world import BAD, GOOD, Vector
from mlcanary.handler.evidence.prometheus import Sample

SCRAPE = 2.0
SERVING = 30.0
"""Seconds of traffic that the handler's question for who serves is about (`evidence.serving_window`)."""
PROVEN_QUALITY = 0.9
_KEPT = 1500
_WORSE = 0.05


@dataclass(frozen=True)
class Scrape:
    """True counters at a time: predictions, right ones among the labelled ones."""

    at: float
    served: Mapping[str, float]
    right: Mapping[str, float]


@dataclass
class Truth:
    """Two versions of one model behind one router."""

    router: Router
    model: str
    now: float
    rate: float = 100.0
    quality: dict[str, float] = field(default_factory=lambda: {GOOD: PROVEN_QUALITY, BAD: PROVEN_QUALITY})
    alive: dict[str, bool] = field(default_factory=lambda: {GOOD: True, BAD: True})
    served: dict[str, float] = field(default_factory=lambda: {GOOD: 5000.0, BAD: 500.0})
    right: dict[str, float] = field(default_factory=lambda: {GOOD: 4500.0, BAD: 250.0})
    offset: dict[str, tuple[float, float]] = field(default_factory=dict)
    newest: dict[str, float] = field(default_factory=dict)
    scrapes: list[Scrape] = field(default_factory=list)
    scraping: bool = True
    source_up: float | None = 1.0
    roles: list[tuple[str, str]] = field(default_factory=lambda: [(GOOD, "baseline"), (BAD, "canary")])
    judged: bool = False
    verdict: float = 1.0
    verdict_age: float = 1.0
    rule_age: float = 1.0
    alert_firing: bool = True
    hidden: bool = False
    servers: dict[str, float] = field(default_factory=lambda: {GOOD: 2.0, BAD: 1.0})
    word: str | None = "hold"
    may_expand: bool = True
    _next_scrape: float = 0.0

    def __post_init__(self) -> None:
        self.newest = {GOOD: self.now, BAD: self.now}
        self._next_scrape = self.now
        self.view = _View(self)
        self.move(self.now)

    # --- time

    def move(self, to: float) -> None:
        """Let traffic and scrapes happen up to `to`."""
        while self._next_scrape <= to:
            self._flow(self._next_scrape)
            if self.scraping:
                self.scrapes.append(Scrape(self.now, dict(self.served), dict(self.right)))
                del self.scrapes[:-_KEPT]
            self._next_scrape += SCRAPE
        self._flow(to)

    def _flow(self, to: float) -> None:
        seconds, self.now = to - self.now, max(self.now, to)
        weights = self.router.weights
        for version in (GOOD, BAD):
            share = weights.share(version)
            if share > 0 and seconds > 0 and self.alive[version]:
                count = self.rate * share * seconds
                self.served[version] += count
                self.right[version] += count * self.quality[version]
                self.newest[version] = self.now

    # --- what would be true to say

    @property
    def shared_cause(self) -> bool:
        """Whether the baseline fell by itself."""
        return self.quality[GOOD] < PROVEN_QUALITY - _WORSE

    @property
    def violated(self) -> bool:
        """Whether the canary is clearly worse than the baseline."""
        return self.quality[BAD] < self.quality[GOOD] - _WORSE

    def serving(self) -> dict[str, float]:
        """Predictions per second in the last scrapes, by version."""
        since = [scrape for scrape in self.scrapes if scrape.at >= self.now - SERVING]
        if len(since) < 2:
            return {}
        seconds = since[-1].at - since[0].at
        return {v: (since[-1].served[v] - since[0].served[v]) / seconds for v in (GOOD, BAD)}

    def reset_counters(self, version: str) -> None:
        """A server starts again: what a scrape shows of it begins at 0."""
        self.offset[version] = (self.served[version], self.right[version])

    def stop_servers(self, version: str) -> None:
        """Nobody serves the version, and its sidecars are gone."""
        self.alive[version], self.servers[version] = False, 0.0

    def stop_rules(self) -> None:
        """What rules and the judge recorded gets old."""
        self.rule_age = self.verdict_age = 500.0

    # --- what is answered

    @property
    def fires(self) -> bool:
        """Whether an alert of a windowed rule, or of the judge, fires."""
        return self.alert_firing and (self.violated or (self.judged and self.verdict == 1.0))

    def answer(self, expressions: Mapping[str, str]) -> dict[str, list[Sample]]:
        """Every named query, answered now."""
        self.view.refresh()
        return {name: self.view.answer(text) for name, text in expressions.items()}


class _View(handler_world.Release):
    """What the query API tells of the truth."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(route=dict)
        self._truth = truth
        self._known: dict[str, Callable[[handler_world.Release], Vector]] = {}

    def refresh(self) -> None:
        """Take over what the newest scrape shows."""
        truth = self._truth
        scrape = truth.scrapes[-1]
        self.sample_age = truth.now - scrape.at
        self.counters, self.labeled = {}, {}
        for version in (GOOD, BAD):
            served, right = truth.offset.get(version, (0.0, 0.0))
            served, right = max(0.0, scrape.served[version] - served), max(0.0, scrape.right[version] - right)
            if not (truth.hidden and version == BAD):
                self.counters[version] = served
            self.labeled[version, "1", "1"], self.labeled[version, "1", "0"] = right, served - right
        self.newest = {v: min(at, scrape.at) for v, at in truth.newest.items()}
        shares = truth.serving()
        self.rate, self.route = 1.0, lambda: shares
        self.up, self.roles, self.judged = truth.source_up, truth.roles, truth.judged
        difference = truth.quality[BAD] - truth.quality[GOOD]
        self.delta, self.zscore = (difference, -12.0) if truth.violated else (min(0.0, difference), -0.5)
        self.age, self.firing = truth.rule_age, truth.fires
        self.baseline, self.past = truth.quality[GOOD], PROVEN_QUALITY
        self.verdict, self.verdict_age = truth.verdict, truth.verdict_age
        self.servers, self.word, self.may_expand = truth.servers, truth.word, truth.may_expand
        self.clock, self.seen = (lambda: scrape.at), truth.now
        labels = {"alertname": "MLCanaryAccuracyBelowBaseline", "model": truth.model, "version": BAD}
        told = {**labels, "measure": "accuracy", "window": "5m"}
        self.alerts = [told] if truth.alert_firing and truth.violated else []

    def answer(self, text: str) -> list[Sample]:
        """One query."""
        if text not in self._known:
            found = (answer for pattern, answer in (*_OWN, *handler_world.ANSWERS) if re.match(pattern, text))
            self._known[text] = next(found, _recorded(text))
        told = self._known[text](self)
        return [Sample(tuple(sorted(labels.items())), float(value)) for labels, value in told]


def _losses(release: handler_world.Release) -> Vector:
    """Each wrong prediction loses 1, each right one nothing: the mean is what is wrong."""
    told: Vector = []
    for version in (GOOD, BAD):
        right, wrong = (release.labeled[version, "1", predicted] for predicted in ("1", "0"))
        for name, value in (("sum", wrong), ("count", right + wrong), ("squares_total", wrong)):
            told.append(({"__name__": f"mlcanary_log_loss_{name}", "version": version}, value))
    return told


_OWN: tuple[tuple[str, Callable[[handler_world.Release], Vector]], ...] = (
    (r"\{__name__=~", _losses),
    (r"max by \(cluster, namespace\) \(time\(\) - mlcanary_judge_judged", lambda r: [({}, r.seen - r.clock())]),
    (
        r"max by \(cluster, namespace\) \(mlcanary_judge_trials",
        lambda r: [({}, r.counters[BAD])] if BAD in r.counters else [],
    ),
)


def _recorded(text: str) -> Callable[[handler_world.Release], Vector]:
    if not text.startswith(("model_version:", "sqrt(")):
        return lambda _release: []
    stderr = "_stderr" in text or text.startswith("sqrt(")
    past = " offset " in text
    less_is_better = "log_loss" in text or "errors" in text

    def value(release: handler_world.Release) -> Vector:
        told = release.past if past else release.baseline
        if told is None:
            return []
        return [({"version": GOOD}, 0.005 if stderr else 1.0 - told if less_is_better else told)]

    return value
