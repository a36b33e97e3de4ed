"""Coverage of labels by age, on cohorts whose delays reach from before the prediction to beyond every age."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy.stats import ecdf

from indicators.oracles import Concern, Oracle, Values
from mlcanary.catalog import LABEL_AGES
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.contract import Matured, Measure
from mlcanary.measures.label_age import LabelAgeMeasure
from mlcanary.measures.plan import ModelPlan
from nasty_streams import scored

WAIT = 14_400.0


def cohort(stream: str) -> list[Matured]:
    """Every third without a label, every seventh with an assumed one; delays on and beside the ages."""
    delays = [-5.0, 0.0, *LABEL_AGES, *(age + 1 for age in LABEL_AGES), *(0.3 * age for age in LABEL_AGES)]
    rows = []
    for i, row in enumerate(scored(stream)):
        labeled = replace(row, delay=delays[i * 7 % len(delays)], assumed=i % 7 == 3)
        unlabeled = stream == "all missing" or (i % 3 == 1 and stream != "constant")
        rows.append(Matured(float(i), None if unlabeled else labeled, {}))
    return rows


def take(measure: Measure, rows: Sequence[Matured]) -> None:
    """Feed the cohort."""
    measure.on_matured(rows)


def coverage(rows: Sequence[Matured]) -> Values:
    """scipy's empirical distribution function over the whole cohort; a label that never came is older than any age."""
    ages = [1e12 if x.labeled is None or x.labeled.assumed else max(0.0, x.labeled.delay) for x in rows]
    curve = ecdf(ages).cdf
    return {(f"{age:.0f}",): float(curve.evaluate(age)) for age in LABEL_AGES if age <= WAIT}


CONCERN = Concern(
    make=lambda: LabelAgeMeasure(ModelPlan(join=JoinPolicy(WAIT, 86_400.0))),
    rows=cohort,
    take=take,
    oracles={"label coverage by age": Oracle(coverage)},
)
