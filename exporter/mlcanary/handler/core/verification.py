"""Proof, from the traffic alone, that an effect worked: pure.

Proven means all of it, on data younger than the effect:
- in `windows` windows in a row the bad version had at most `max_share` of the predictions, among at least
  `min_predictions` of the others: no traffic never proves anything;
- the newest prediction of the bad version (its own event time) is at most `tolerance` after the effect;
- what was served since is as good as the baseline was at the decision, within noise, where enough labels
  came; without them the measure counts as `no_labels`, which is enough unless the target requires it;
- where the model server can be asked, it told the good artefact over as many windows, at every look (`Served`).

A window in which a counter went back or vanished, or a source was down, is thrown away: a restart, a lost
scrape and a broken log look like silence, and silence is not proof. That includes the counters of the bad
version: they must stay in sight, so its sidecars have to outlive the verification. A reading that is only stale
opens and ends no window; the one that runs goes on, as its end is held against its start anyway.

Scrapes are rare and out of step. So a window opens on samples that are all younger than the effect, and ends on
samples that are all younger, by its length, than the reading that opened it: every series covers all of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mlcanary.handler.intake.payload import Measure
from mlcanary.handler.settings import Verification

NOISE_Z = 3.0
_SHOWN = 80
SeriesKey = tuple[str, tuple[tuple[str, str], ...]]
"""Version, then every label of the series."""


class Verdict(StrEnum):
    """Where a verification stands. `moved`: the traffic moved, the measure is not back (yet)."""

    UNPROVEN = "unproven"
    MOVED = "moved"
    PROVEN = "proven"


@dataclass(frozen=True, slots=True)
class Reference:
    """Quality of the baseline at the decision: a share for accuracy and errors, nats for log loss."""

    value: float
    stderr: float


@dataclass(frozen=True, slots=True)
class Reading:
    """Raw counters at one time. `at` is when they were asked for, `sampled` is the time of the
    oldest sample of `predictions`; both Unix seconds.

    `labeled` and `losses` hold counters keyed as `predictions`; the labels of `labeled` include actual and
    predicted, those of `losses` the part (`sum`, `count`, `squares`). `failures` counts failed requests.
    `last_bad` is the event time of the bad version's newest prediction, None if it is not known. `up` is
    False if a source is down, `fresh` if a sample is too old to tell.
    """

    at: float
    sampled: float
    up: bool
    fresh: bool
    predictions: Mapping[SeriesKey, float]
    failures: Mapping[SeriesKey, float]
    labeled: Mapping[SeriesKey, float]
    losses: Mapping[SeriesKey, float]
    last_bad: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known so far. `start` opens the running window, `first` the look at the measure.

    `measure` is what the last judgement found of it, as `recovered` tells it; empty before the first.
    """

    effect: float
    start: Reading | None = None
    first: Reading | None = None
    passed: int = 0
    verdict: Verdict = Verdict.UNPROVEN
    note: str = "no reading yet"
    measure: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """Since when, without a break, the model server has told the artefact that it should serve; None if it has not."""

    effect: float
    since: float | None = None
    note: str = "the model server was not asked yet"

    def told(self, value: object, wanted: str, now: float) -> Served:
        """What is known after the server told `value`, None if it told nothing."""
        if str(value) == wanted and value is not None:
            return dataclasses.replace(self, since=self.since if self.since is not None else now, note="")
        found = "nothing" if value is None else repr(value)[:_SHOWN]
        return dataclasses.replace(self, since=None, note=f"the model server tells {found}, not {wanted!r}")

    def proven(self, plan: Verification, now: float) -> bool:
        """Whether it told so over all windows that a proof takes."""
        return self.since is not None and now - self.since >= plan.windows * plan.window


def advance(
    progress: Progress, reading: Reading, plan: Verification, *, bad: str, measure: Measure, reference: Reference | None
) -> Progress:
    """The progress after one more reading."""
    if not reading.up or not any(key[0] == bad for key in reading.predictions):
        return dataclasses.replace(progress, start=None, passed=0, note="the figures are not complete")
    if not reading.fresh:
        return dataclasses.replace(progress, note="the figures are not fresh")
    if progress.start is None:
        if reading.sampled < progress.effect:
            return dataclasses.replace(progress, note="no figures younger than the effect yet")
        first = progress.first or reading
        return dataclasses.replace(progress, start=reading, first=first, note="first window runs")
    delta = _growth(progress.start.predictions, reading.predictions, only=bad)
    moved = progress
    if delta is None:
        note = "a counter went back or vanished"
        moved = dataclasses.replace(progress, start=reading, first=reading, passed=0, note=note)
    elif reading.sampled - progress.start.at >= plan.window:
        moved = _window(progress, reading, delta, plan, bad=bad)
    if moved.passed < plan.windows or moved.passed == progress.passed:
        return moved
    return _judge(moved, reading, plan, bad=bad, measure=measure, reference=reference)


def _window(
    progress: Progress, reading: Reading, delta: Mapping[SeriesKey, float], plan: Verification, *, bad: str
) -> Progress:
    """The progress after a window that is long enough; one with too little traffic goes on."""
    ours = sum(value for key, value in delta.items() if key[0] == bad)
    theirs = sum(value for key, value in delta.items() if key[0] != bad)
    if ours > plan.max_share * (ours + theirs):
        note = f"{bad} had {ours:g} of {ours + theirs:g} predictions of a window"
        return dataclasses.replace(progress, start=reading, passed=0, verdict=Verdict.UNPROVEN, note=note)
    if theirs < plan.min_predictions:
        return dataclasses.replace(progress, note=f"{theirs:g} of {plan.min_predictions} predictions so far")
    note = f"{progress.passed + 1} of {plan.windows} windows passed"
    return dataclasses.replace(progress, start=reading, passed=progress.passed + 1, note=note)


def _judge(
    progress: Progress, reading: Reading, plan: Verification, *, bad: str, measure: Measure, reference: Reference | None
) -> Progress:
    if reading.last_bad is None or reading.last_bad > progress.effect + plan.tolerance:
        late = "unknown" if reading.last_bad is None else f"{reading.last_bad - progress.effect:.1f} s after the effect"
        note = f"newest prediction of {bad}: {late}"
        return dataclasses.replace(progress, verdict=Verdict.UNPROVEN, note=note)
    recovery = recovered(progress.first or reading, reading, plan, bad=bad, measure=measure, reference=reference)
    enough = recovery == "recovered" or (recovery == "no_labels" and plan.measure == "if_labeled")
    verdict = Verdict.PROVEN if enough else Verdict.MOVED
    note = f"traffic moved, measure {recovery}"
    return dataclasses.replace(progress, verdict=verdict, note=note, measure=recovery)


def recovered(
    first: Reading, last: Reading, plan: Verification, *, bad: str, measure: Measure, reference: Reference | None
) -> str:
    """`recovered`, `worse` or `no_labels`: quality of what the other versions served between two readings.

    `no_labels` also without a reference.
    """
    if measure is Measure.ERRORS:
        part = _share(_growth(first.failures, last.failures), _growth(first.predictions, last.predictions), bad)
    elif measure is Measure.ACCURACY:
        labeled = _growth(first.labeled, last.labeled)
        right = None if labeled is None else {k: v for k, v in labeled.items() if _right(k)}
        part = _share(right, labeled, bad)
    else:
        part = _mean(_growth(first.losses, last.losses), bad)
    if part is None or reference is None or part[2] < plan.min_labels:
        return "no_labels"
    value, stderr, _ = part
    worse = reference.value - value if measure is Measure.ACCURACY else value - reference.value
    return "worse" if worse > NOISE_Z * math.hypot(stderr, reference.stderr) else "recovered"


def _growth(
    before: Mapping[SeriesKey, float], after: Mapping[SeriesKey, float], *, only: str | None = None
) -> dict[SeriesKey, float] | None:
    """Growth of every series, None if one went back or vanished. A series that is new counts in full.

    With `only`, a new series of another version counts nothing: traffic that may be older than the window
    is no proof for the good, but it is one against the bad.
    """
    if any(key not in after or after[key] < value for key, value in before.items()):
        return None
    return {
        key: value - before[key] if key in before else (value if only in (None, key[0]) else 0.0)
        for key, value in after.items()
    }


def _share(
    part: Mapping[SeriesKey, float] | None, whole: Mapping[SeriesKey, float] | None, bad: str
) -> tuple[float, float, float] | None:
    """Share, its standard error and the trials, over all versions but `bad`."""
    if part is None or whole is None:
        return None
    n = sum(value for key, value in whole.items() if key[0] != bad)
    if n <= 0:
        return None
    share = min(1.0, sum(value for key, value in part.items() if key[0] != bad) / n)
    return share, math.sqrt(share * (1 - share) / n), n


def _mean(losses: Mapping[SeriesKey, float] | None, bad: str) -> tuple[float, float, float] | None:
    """Mean loss, its standard error and the count, over all versions but `bad`."""
    if losses is None:
        return None
    total = {"sum": 0.0, "count": 0.0, "squares": 0.0}
    for (version, labels), value in losses.items():
        if version != bad:
            total[dict(labels)["part"]] += value
    n = total["count"]
    if n < 2:
        return None
    mean = total["sum"] / n
    return mean, math.sqrt(max(0.0, total["squares"] / n - mean * mean) / (n - 1)), n


def _right(key: SeriesKey) -> bool:
    labels = dict(key[1])
    return labels.get("actual") == labels.get("predicted")
