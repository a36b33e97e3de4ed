"""Numbers of the judge as people read them, the same on the page and on the command line. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from mlcanary.catalog import Verdict
from mlcanary.judge.contract import Assessment, FamilyAssessment, MeasureAssessment

NOTHING = "–"
_SCORES = frozenset({"auc", "ndcg"})
"""Measures between 0 and 1 that nobody speaks of in percent."""
_MINUS = "\u2212"


def figure(measure: MeasureAssessment, value: float | None) -> str:
    """A figure of one arm in the unit of its measure.

    >>> from mlcanary.catalog import Family
    >>> m = MeasureAssessment("errors", Family.ERRORS, "ratio", 1, 1, .1, .1, 0, 0, 0, 0, 0, 1, 1, 1, 1)
    >>> figure(m, 0.0213), figure(m, None)
    ('2.13 %', '–')
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if measure.unit != "ratio":
        return f"{value:.4g} {measure.unit}".rstrip()
    return f"{value:.4f}" if measure.name in _SCORES else f"{100 * value:.2f} %"


def signed(measure: MeasureAssessment, value: float | None) -> str:
    """A difference in the unit of its measure: percentage points for shares.

    >>> from mlcanary.catalog import Family
    >>> m = MeasureAssessment("errors", Family.ERRORS, "ratio", 1, 1, .1, .1, 0, 0, 0, 0, 0, 1, 1, 1, 1)
    >>> signed(m, 0.0213), signed(m, -0.001)
    ('+2.13 pp', '−0.10 pp')
    """
    number = _number(measure, value)
    return number if number == NOTHING else f"{number} {_form(measure)[2]}".rstrip()


def interval(measure: MeasureAssessment) -> str:
    """The interval of the difference, without the unit, which stands beside it; an open end has no number."""
    if measure.lower is None and measure.upper is None:
        return NOTHING
    return f"{_number(measure, measure.lower)} … {_number(measure, measure.upper)}"


def named(measure: MeasureAssessment) -> str:
    """The name of a measure, with the class that its figures are of."""
    return f"{measure.name} of {measure.of_class}" if measure.of_class else measure.name


def _number(measure: MeasureAssessment, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return NOTHING
    scale, form, _ = _form(measure)
    return f"{scale * value:{form}}".replace("-", _MINUS)


def _form(measure: MeasureAssessment) -> tuple[float, str, str]:
    if measure.unit != "ratio":
        return 1.0, "+.3g", measure.unit
    return (1.0, "+.4f", "") if measure.name in _SCORES else (100.0, "+.2f", "pp")


def log_evidence(value: float | None) -> str:
    """A log e-value."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.2f}".replace("-", _MINUS)


def count(value: float) -> str:
    """A number of observations."""
    return NOTHING if not math.isfinite(value) else f"{value:,.0f}"


def when(at: float) -> str:
    """Unix seconds as a date."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def eta(assessment: Assessment) -> str:
    """Time to a decision; nothing once there is one."""
    decided = assessment.verdict in {Verdict.ROLLBACK, Verdict.PROMOTE}
    return NOTHING if decided else duration(assessment.eta_seconds)


def duration(seconds: float | None) -> str:
    """A length of time, as coarse as people speak of it.

    >>> duration(42.0), duration(4000.0), duration(200_000.0), duration(None)
    ('42 s', '67 min', '2.3 d', '–')
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    for limit, size, unit, digits in ((90, 1, "s", 0), (5400, 60, "min", 0), (129_600, 3600, "h", 1)):
        if seconds < limit:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds / 86400:.1f} d"


def leading(assessment: Assessment) -> MeasureAssessment | None:
    """The measure that leads, None if a feature or nothing does."""
    return next((measure for measure in assessment.measures if measure.name == assessment.leading), None)


def nearest(assessment: Assessment) -> FamilyAssessment | None:
    """The family that is nearest to its threshold."""
    judged = [family for family in assessment.families if family.threshold is not None]
    return max(judged, key=lambda f: f.log_e - (f.threshold or 0.0), default=None)
