"""Worlds in which alerts are tested: a model, its versions and the processes around it, minute by minute.

A figure that changes is a `Course`: (minute, value) pairs, each in force until the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from mlcanary.catalog import NEGATIVE, OBJECTIVES, POSITIVE, Verdict
from promtool_cases import Labels, Values, series_name

MINUTES = 270
MODEL = "clicks"
EXPORTER = {"job": "mlcanary-exporter", "instance": "sidecar:10877"}
HANDLER = {"job": "mlcanary-handler", "instance": "handler:10879"}
JUDGE = {"job": "mlcanary-judge", "instance": "judge:10878"}
Course = tuple[tuple[int, float | None], ...]
Series = dict[str, Values]


def at(course: Course, minute: int) -> float | None:
    """The value in force at a minute; None before the first one."""
    value: float | None = None
    for start, then in course:
        if start <= minute:
            value = then
    return value


def every_minute(course: Course) -> list[float | None]:
    """The value in force at each minute."""
    values: list[float | None] = [None] * MINUTES
    for start, then in course:
        values[start:] = [then] * (MINUTES - start)
    return values


def gauge(name: str, labels: Labels, *course: tuple[int, float | None]) -> Series:
    """A gauge; None stands for a series that is not there."""
    return {series_name(name, labels): every_minute(course)}


def counter(name: str, labels: Labels, *course: tuple[int, float | None], born: int = 0) -> Series:
    """A counter that grows per minute as the course says, and is not there before minute `born`."""
    totals: list[float | None] = list(accumulate((grown or 0.0 for grown in every_minute(course)[:-1]), initial=0.0))
    totals[:born] = [None] * born
    return {series_name(name, labels): totals}


def steady(value: float) -> Course:
    """A figure that never changes."""
    return ((0, value),)


def hourly(value: float, *minutes: int) -> Course:
    """`value` at each of these minutes, nothing between them."""
    return ((0, 0.0), *(step for minute in minutes for step in ((minute, value), (minute + 1, 0.0))))


SCORE_BINS = (*(str(i / 16) for i in range(1, 16)), "+Inf")


@dataclass(frozen=True)
class Version:
    """One version: what goes to it and how good it is. Shares and probabilities, log loss in nats.

    Scores fall into two halves; with probability `ranking` into the right one, which then is the AUC. Each half has
    bins enough that what they hide (`auc_error_bound`) is small beside the differences at stake. The feature
    has two bins, with `low` of its values in the lower one, where the reference has half. `slow` of the requests take
    longer than 10 seconds. Of those answered `clicked` are clicked; `converted` of these buy, for `price` on average.
    """

    name: str
    role: str
    per_minute: Course
    accuracy: Course = ((0, 0.9),)
    ranking: Course = ((0, 0.85),)
    log_loss: Course = ((0, 0.3),)
    failed: Course = ((0, 0.002),)
    covered: Course = ((0, 0.9),)
    positive: float = 0.5
    low: Course = ((0, 0.5),)
    missing: Course = ((0, 0.01),)
    slow: Course = ((0, 0.001),)
    clicked: Course = ((0, 0.2),)
    converted: Course = ((0, 0.25),)
    price: Course = ((0, 20.0),)
    target: Labels = field(default_factory=lambda: EXPORTER)

    def series(self) -> Series:
        """All series of the version."""
        series: Series = {}
        of = {**self.target, "model": MODEL, "version": self.name}
        series |= gauge("mlcanary_model_info", {**of, "role": self.role, "task": "binary"}, (0, 1.0))
        for (name, labels), course in self._rates().items():
            series |= counter(f"mlcanary_{name}", {**of, **dict(labels)}, *course)
        return series

    def _rates(self) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], Course]:
        minutes = sorted({m for name in self._courses() for m, _ in getattr(self, name)})
        rates: dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[int, float | None]]] = {}
        for minute in minutes:
            now = {name: at(getattr(self, name), minute) or 0.0 for name in self._courses()}
            for name, labels, value in self._minute(**now):
                rates.setdefault((name, tuple(labels.items())), []).append((minute, value))
        return {key: tuple(course) for key, course in rates.items()}

    @staticmethod
    def _courses() -> tuple[str, ...]:
        quality = ("per_minute", "accuracy", "ranking", "log_loss", "failed", "covered", "low", "missing")
        return (*quality, "slow", "clicked", "converted", "price")

    def _minute(
        self,
        *,
        per_minute: float,
        accuracy: float,
        ranking: float,
        log_loss: float,
        failed: float,
        covered: float,
        low: float,
        missing: float,
        slow: float,
        clicked: float,
        converted: float,
        price: float,
    ) -> Iterable[tuple[str, Labels, float]]:
        """Increments of one minute."""
        answered = per_minute * (1 - failed)
        labeled = answered * covered
        yield "predictions_total", {"predicted": "1"}, answered
        yield "predictions_total", {"predicted": "none"}, per_minute * failed
        yield "prediction_errors_total", {"reason": "timeout"}, per_minute * failed
        yield "label_joins_total", {"result": "matched"}, labeled
        yield "label_joins_total", {"result": "expired"}, answered - labeled
        yield "log_loss_sum", {}, labeled * log_loss
        yield "log_loss_count", {}, labeled
        yield "log_loss_squares_total", {}, labeled * (log_loss**2 + 0.25)
        for actual, share, upper in ((POSITIVE, self.positive, ranking), (NEGATIVE, 1 - self.positive, 1 - ranking)):
            n, klass, wrong = labeled * share, str(int(actual == POSITIVE)), str(int(actual != POSITIVE))
            yield "labeled_predictions_total", {"actual": klass, "predicted": klass}, n * accuracy
            yield "labeled_predictions_total", {"actual": klass, "predicted": wrong}, n * (1 - accuracy)
            under = 0.0
            for i, name in enumerate(SCORE_BINS):
                inside = n * (upper if i >= len(SCORE_BINS) // 2 else 1 - upper) / (len(SCORE_BINS) // 2)
                yield "labeled_score_bin_total", {"actual": actual, "bin": name}, inside
                yield "labeled_score_below_total", {"actual": actual, "bin": name}, under
                under += inside
        present = answered * (1 - missing)
        yield "feature_rows_total", {}, answered
        yield "feature_bin_total", {"feature": "amount", "bin": "10.0"}, present * low
        yield "feature_bin_total", {"feature": "amount", "bin": "+Inf"}, present * (1 - low)
        yield "feature_missing_total", {"feature": "amount"}, answered * missing
        for edge, within in (("0.5", 0.9 * (1 - slow)), ("1.0", 0.95 * (1 - slow)), ("10.0", 1 - slow), ("+Inf", 1.0)):
            yield "prediction_latency_seconds_bucket", {"le": edge}, per_minute * within
        bought = answered * clicked * converted
        yield "business_events_total", {"event": "click"}, answered * clicked
        yield "business_events_total", {"event": "purchase"}, bought
        yield "business_value_total", {"event": "purchase", "sign": POSITIVE}, bought * price
        yield "business_value_total", {"event": "purchase", "sign": NEGATIVE}, 0.0
        yield "business_value_squares_total", {"event": "purchase"}, bought * price**2 * 1.25


def baseline(**changes: object) -> Version:
    """A healthy baseline with 90 % of the traffic."""
    return Version(**{"name": "v1", "role": "baseline", "per_minute": steady(900.0), **changes})  # type: ignore[arg-type]


def canary(**changes: object) -> Version:
    """A healthy canary with 10 % of the traffic."""
    return Version(**{"name": "v2", "role": "canary", "per_minute": steady(100.0), **changes})  # type: ignore[arg-type]


def world(*versions: Version, target: Labels = EXPORTER, limits: Mapping[str, float] | None = None) -> Series:
    """The versions, in sound surroundings: limits, reference, exporter, source, handler and its target."""
    series: Series = {}
    for version in versions:
        series |= version.series()
    for row in OBJECTIVES:
        for model, own in ((MODEL, limits or {}), ("other", {})):  # Limits of models that are not mixed up.
            limit = {**target, "model": model, "objective": row.name}
            series |= gauge("mlcanary_objective_threshold", limit, (0, own.get(row.name, row.default)))
    series |= gauge("mlcanary_bin_edges_info", {**target, "model": MODEL, "edges": "5f2a"}, (0, 1.0))
    for event, meaning in (("click", "click"), ("purchase", "conversion")):
        of = {**target, "model": MODEL, "event": event, "meaning": meaning}
        series |= gauge("mlcanary_business_event_info", of, (0, 1.0))
    feature = {**target, "model": MODEL, "feature": "amount"}
    series |= gauge("mlcanary_feature_reference_observations", feature, (0, 5000.0))
    series |= gauge("mlcanary_feature_reference_missing_ratio", feature, (0, 0.01))
    for name in ("10.0", "+Inf"):
        series |= gauge("mlcanary_feature_reference_ratio", {**feature, "bin": name}, (0, 0.5))
    return series | exporter(target) | handler()


def exporter(target: Labels = EXPORTER) -> Series:
    """A sound exporter and its source."""
    source = {**target, "source": "/var/log/model.jsonl"}
    return {
        **gauge("up", target, (0, 1.0)),
        **gauge("mlcanary_exporter_build_info", {**target, "version": "1"}, (0, 1.0)),
        **gauge("mlcanary_up", source, (0, 1.0)),
        **gauge("mlcanary_log_lag_bytes", source, (0, 0.0)),
        **counter("mlcanary_log_lines_total", source, (0, 1000.0)),
        **counter("mlcanary_log_parse_errors_total", {**source, "reason": "json"}, (0, 1.0)),
        **counter("mlcanary_log_lost_total", {**source, "reason": "truncated"}, (0, 0.0)),
        **counter("mlcanary_series_limited_total", {**target, "reason": "classes"}, (0, 0.0)),
        **counter("mlcanary_checkpoint_errors_total", target, (0, 0.0)),
        **gauge("mlcanary_config_last_reload_successful", target, (0, 1.0)),
    }


def handler() -> Series:
    """A sound handler that hears the watchdog."""
    rollbacks = {**HANDLER, "target": "router", "model": MODEL}
    watchdog = series_name("mlcanary_watchdog_last_received_timestamp_seconds", HANDLER)
    return {
        **gauge("up", HANDLER, (0, 1.0)),
        **gauge("mlcanary_handler_build_info", {**HANDLER, "version": "1"}, (0, 1.0)),
        **gauge("mlcanary_evidence_up", HANDLER, (0, 1.0)),
        **gauge("mlcanary_target_up", {**HANDLER, "target": "router"}, (0, 1.0)),
        **gauge("mlcanary_incident_open", {**HANDLER, "target": "router", "state": "acting"}, (0, 0.0)),
        **counter("mlcanary_rollbacks_total", {**rollbacks, "outcome": "failed"}, (0, 0.0)),
        **counter("mlcanary_rollbacks_total", {**rollbacks, "outcome": "resolved"}, (0, 0.0)),
        watchdog: [60.0 * minute for minute in range(MINUTES)],
    }


def judge(
    *verdicts: tuple[int, Verdict | None],
    read: Course | None = None,
    up: Course = ((0, 1.0),),
    leads: Course = ((0, 1.0),),
    info: Course = ((0, 1.0),),
    deadline: float = 86400.0,
    start: float = 0.0,
) -> Series:
    """A judge of the canary that holds, or says what `verdicts` say from their minutes on; None ends what it says.

    `read`: up to which minute it has read Prometheus, by default up to the present one.
    """
    of = {**JUDGE, **CANARY}
    said: Series = {}
    for name in Verdict:
        course = [(minute, None if now is None else float(now is name)) for minute, now in verdicts]
        said |= gauge("mlcanary_judge_verdict", {**of, "verdict": name}, (0, float(name is Verdict.HOLD)), *course)
    return said | {
        **gauge("up", JUDGE, *up),
        **gauge("mlcanary_judge_build_info", {**JUDGE, "version": "1"}, *info),
        **gauge("mlcanary_judge_leader", JUDGE, *leads),
        **gauge("mlcanary_judge_canary_start_timestamp_seconds", {**of, "baseline": "v1"}, (0, start)),
        **gauge("mlcanary_judge_deadline_seconds", of, (0, deadline)),
        series_name("mlcanary_judge_read_timestamp_seconds", JUDGE): [
            60.0 * (minute if read is None else at(read, minute) or 0.0) for minute in range(MINUTES)
        ],
    }


CANARY, BASELINE = {"model": MODEL, "version": "v2"}, {"model": MODEL, "version": "v1"}
HEALTHY = world(baseline(), canary())
SOURCE = {**EXPORTER, "source": "/var/log/model.jsonl"}
FAST, SLOW = {**CANARY, "window": "5m"}, {**CANARY, "window": "1h"}
ROLLBACK = {"severity": "critical", "action": "rollback"}
WARNING, CRITICAL, INFO = ({"severity": name} for name in ("warning", "critical", "info"))


@dataclass(frozen=True)
class Scenario:
    """`firing`: at these minutes exactly these label sets fire; `quiet`: at these minutes none does."""

    alert: str
    because: str
    series: Series
    firing: tuple[tuple[int, tuple[Labels, ...]], ...] = ()
    quiet: tuple[int, ...] = ()
    minutes: int = 1
    """Between two samples of a series."""


def fires(alert: str, because: str, series: Series, *firing: tuple[int, tuple[Labels, ...]], resolved: int) -> Scenario:
    """It fires at the minutes given and is over at the minute `resolved`."""
    return Scenario(alert, because, series, firing, (1, resolved))


def silent(alert: str, because: str, series: Series, until: int = 125) -> Scenario:
    """It never fires; what breaks in a world does so between 30 and 90 minutes."""
    return Scenario(alert, because, series, quiet=tuple(range(5, until, 5)))
