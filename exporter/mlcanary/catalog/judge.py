"""The judge: verdicts on canaries, the evidence behind them, and every limit that they are held against."""

from __future__ import annotations

from enum import StrEnum

from mlcanary.catalog.spec import Group, Indicator, Kind, MetricSpec, row


class Verdict(StrEnum):
    """What the judge says of a canary. Values of the label `verdict`."""

    ROLLBACK = "rollback"
    PROMOTE = "promote"
    HOLD = "hold"
    NO_DATA = "no_data"


class Family(StrEnum):
    """Measures that are revealed together and share one part of the error budget. Values of the label `family`."""

    ERRORS = "errors"
    LATENCY = "latency"
    QUALITY = "quality"
    BUSINESS = "business"
    FEATURES = "features"


class Gate(StrEnum):
    """What suspends decisions while it lasts. Values of the label `gate`."""

    SOURCE_BROKEN = "source_broken"
    ROLE_CONFLICT = "role_conflict"
    EDGES_MISMATCH = "edges_mismatch"
    SPLIT_MISMATCH = "split_mismatch"
    LABEL_COVERAGE = "label_coverage"
    DESIGN_EFFECT = "design_effect"
    AA_NOT_PASSED = "aa_not_passed"
    SHARED_CAUSE = "shared_cause"


MARGINS: dict[str, str] = {
    "errors": "error_rise",
    "slow": "slow_rise",
    "accuracy": "accuracy_drop",
    "auc": "auc_drop",
    "log_loss": "log_loss_rise",
    "squared_error": "squared_error_rise",
    "ndcg": "ndcg_drop",
    "ctr": "business_drop",
    "conversion": "business_drop",
}
"""Measure of the judge -> the objective that is its margin.

The others have none and take no part in a promotion, unless the judge's configuration names one: money varies so much
that a promotion would wait for millions of requests.
"""

RELATIVE_MARGINS = frozenset({"squared_error", "ctr", "cvr", "conversion", "value"})
"""Measures whose margin is a part of the baseline's figure."""

_CANARY = ("cluster", "namespace", "model", "version")
_MEASURE = (*_CANARY, "measure")
_FAMILY = (*_CANARY, "family")


def _row(name: str, labels: tuple[str, ...], text: str, kind: Kind = Kind.GAUGE) -> MetricSpec:
    return row(f"judge_{name}", kind, Group.JUDGE, labels, text)


ROWS: tuple[MetricSpec, ...] = (
    _row("build_info", ("version", "revision", "pythonversion"), "Build of the judge."),
    _row("verdict", (*_CANARY, "verdict"), "1 for the verdict on a canary now, 0 for the others."),
    _row("reason", (*_CANARY, "verdict", "reason"), "1 for why the verdict on a canary is what it is."),
    _row("verdict_timestamp_seconds", _CANARY, "When the verdict became what it is, in judged time."),
    _row("canary_start_timestamp_seconds", (*_CANARY, "baseline"), "When the judging of this canary began."),
    _row("judged_timestamp_seconds", _CANARY, "Up to when the counters of this canary are judged."),
    _row("may_expand", _CANARY, "1 while nothing speaks against giving the canary more traffic."),
    _row("eta_seconds", _CANARY, "Estimated time to a decision at the present rate of traffic; absent if unknown."),
    _row("gate", (*_CANARY, "gate"), "1 while the gate suspends decisions."),
    _row("family_log_evalue", _FAMILY, "Evidence that the canary is worse: log of the e-value of a family."),
    _row("family_log_evalue_threshold", _FAMILY, "Log e-value at which a family asks for a rollback."),
    _row("measure_log_evalue", _MEASURE, "Evidence that the canary is worse by a measure, log of the e-value."),
    _row(
        "noninferior_log_evalue", _MEASURE, "Evidence that the canary is not worse by the margin, log of the e-value."
    ),
    _row("noninferior_log_evalue_threshold", _CANARY, "Log e-value that every measure needs for a promotion."),
    _row(
        "difference",
        _MEASURE,
        "How much worse the canary is than its baseline, in the unit of the measure; below 0 it is better.",
    ),
    _row("difference_lower", _MEASURE, "Lower end of an interval for the difference that holds at every look at once."),
    _row("difference_upper", _MEASURE, "Upper end of that interval."),
    _row("margin", _MEASURE, "Difference that a promotion must exclude."),
    _row("tolerance", _MEASURE, "Difference that is not held against a canary."),
    _row("trials", (*_MEASURE, "arm"), "Observations judged so far, of the canary and of the baseline."),
    _row("design_effect", _MEASURE, "Variance between blocks over that of independent observations, at least 1."),
    _row(
        "feature_log_evalue", (*_CANARY, "feature"), "Evidence that the canary sees another distribution of a feature."
    ),
    _row(
        "reference_log_evalue",
        (*_CANARY, "feature"),
        "Evidence that the baseline has drifted from the reference profile of a feature; never rolls back.",
    ),
    _row(
        "change_log_r", _MEASURE, "Evidence of a change for the worse at any time since the start (Shiryaev-Roberts)."
    ),
    _row("change_log_r_threshold", _CANARY, "What change_log_r exceeds by chance once in the configured time."),
    _row("deadline_seconds", _CANARY, "Age at which a canary without a decision is told to a person."),
    _row("leader", (), "1 while this judge holds its state file; a standby has 0 and publishes no verdicts."),
    _row("read_timestamp_seconds", (), "Prometheus time up to which counters were read."),
    _row("readings_total", ("result",), "Readings of Prometheus by result: ok, unreachable, refused.", Kind.COUNTER),
    _row("steps_total", _CANARY, "Steps of judged counters.", Kind.COUNTER),
    _row(
        "steps_skipped_total",
        (*_CANARY, "reason"),
        "Steps of which all or an input was left out, by reason.",
        Kind.COUNTER,
    ),
    _row("resets_total", (), "Counters seen to fall, counted once per exporter and version.", Kind.COUNTER),
    _row("cycle_duration_seconds", (), "Time that the last cycle took: read, judge, save."),
    _row("series_read", (), "Series of the last reading."),
    _row("state_errors_total", (), "Cycles whose state could not be saved; they are repeated.", Kind.COUNTER),
)

INDICATORS: tuple[Indicator, ...] = ()
