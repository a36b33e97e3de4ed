"""Scenarios of the alerts about features where one feature has limits of its own."""

from __future__ import annotations

from alert_worlds import (
    CANARY,
    EXPORTER,
    INFO,
    MODEL,
    WARNING,
    Course,
    Scenario,
    Series,
    baseline,
    canary,
    fires,
    gauge,
    silent,
    steady,
    world,
)
from promtool_cases import Labels

AMOUNT, AGE = {"feature": "amount"}, {"feature": "age"}
SECOND = {**EXPORTER, "instance": "second:10877"}


def of_the_limits_of_features() -> list[Scenario]:
    """Two features, `age` and `amount`, do the same; only `age` has limits of its own, of which the largest counts."""
    return [*_drift(), *_changed(), *_missing()]


def _drift() -> list[Scenario]:
    alert, objective = "MLCanaryFeatureDrift", "feature_psi"
    little: dict[str, Course] = {"low": ((0, 0.5), (60, 0.65), (130, 0.5))}
    much: dict[str, Course] = {"low": ((0, 0.5), (60, 0.95), (130, 0.5))}
    return [
        fires(
            alert,
            "both features move a little: the more sensitive one is told",
            _both(per_minute=steady(200.0), **little) | _own(objective, 0.04) | _own(objective, 0.02, of=SECOND),
            (120, (_told(AGE, WARNING),)),
            resolved=255,
        ),
        fires(
            alert,
            "both features move far: the less sensitive one is not told, whatever a second exporter says",
            _both(**much) | _own(objective, 3.0) | _own(objective, 0.01, of=SECOND),
            (120, (_told(AMOUNT, WARNING),)),
            resolved=250,
        ),
        fires(
            alert,
            "both features move far: limits of another model and of another kind do not count",
            _both(**much) | _own(objective, 3.0, model="other") | _own("feature_change", 0.9),
            (120, (_told(AGE, WARNING), _told(AMOUNT, WARNING))),
            resolved=250,
        ),
        silent(
            alert,
            "so few predictions drift by chance beyond the small limit of one feature",
            _both(per_minute=steady(0.5), low=((0, 0.5), (60, 0.8))) | _own(objective, 0.001),
        ),
    ]


def _changed() -> list[Scenario]:
    alert, objective = "MLCanaryFeatureChanged", "feature_change"
    two: dict[str, Course] = {"per_minute": steady(1500.0), "low": ((0, 0.5), (60, 0.52), (130, 0.5))}
    five: dict[str, Course] = {"per_minute": steady(200.0), "low": ((0, 0.5), (60, 0.55), (130, 0.5))}
    gone: dict[str, Course] = {"missing": ((0, 0.06), (60, 0.0), (130, 0.06))}
    many = {"missing": steady(0.06)}

    def lacking(**own: object) -> Series:
        return _twins(world(baseline(**many), canary(**own)) | _of_reference("missing_ratio", 0.06))

    return [
        fires(
            alert,
            "two in a hundred values of both features move, against a large reference: the more sensitive one is told",
            _twins(world(baseline(), canary(**two)) | _of_reference("observations", 50_000.0))
            | _own(objective, 0.01)
            | _own(objective, 0.005, of=SECOND),
            (125, (_told(AGE, INFO),)),
            resolved=260,
        ),
        fires(
            alert,
            "5 % of the values of both features move: the less sensitive one is not told",
            _both(**five) | _own(objective, 0.2) | _own("feature_psi", 0.001),
            (125, (_told(AMOUNT, INFO),)),
            resolved=260,
        ),
        fires(
            alert,
            "5 % of the values of both features move: limits of another model and of another kind do not count",
            _both(**five) | _own(objective, 0.2, model="other") | _own("feature_psi", 0.9),
            (125, (_told(AGE, INFO), _told(AMOUNT, INFO))),
            resolved=260,
        ),
        fires(
            alert,
            "missing values of both features are filled in: limits of another model and of another kind do not count",
            lacking(**gone) | _own(objective, 0.2, model="other") | _own("feature_missing_ratio", 0.9),
            (125, (_told(AGE, INFO), _told(AMOUNT, INFO))),
            resolved=260,
        ),
        fires(
            alert,
            "missing values of both features are filled in: the less sensitive one is not told",
            lacking(**gone) | _own(objective, 0.2),
            (125, (_told(AMOUNT, INFO),)),
            resolved=260,
        ),
        fires(
            alert,
            "fewer values of both features are missing: the more sensitive one is told",
            lacking(per_minute=steady(1500.0), missing=((0, 0.06), (60, 0.04), (130, 0.06))) | _own(objective, 0.01),
            (125, (_told(AGE, INFO),)),
            resolved=260,
        ),
    ]


def _missing() -> list[Scenario]:
    alert, objective = "MLCanaryFeatureMissing", "feature_missing_ratio"
    return [
        fires(
            alert,
            "both features are missing now and then: the more sensitive one is told",
            _both(missing=((0, 0.01), (60, 0.04), (110, 0.01))) | _own(objective, 0.02),
            (105, (_told(AGE, WARNING),)),
            resolved=230,
        ),
        fires(
            alert,
            "a fifth of the predictions lack both features: the optional one is not told",
            _both(missing=((0, 0.01), (60, 0.2), (110, 0.01)))
            | _own(objective, 0.5)
            | _own(objective, 0.01, of=SECOND)
            | _own("feature_psi", 0.01),
            (105, (_told(AMOUNT, WARNING),)),
            resolved=210,
        ),
        fires(
            alert,
            "a fifth of the predictions lack both features: limits of another model and of another kind do not count",
            _both(missing=((0, 0.01), (60, 0.2), (110, 0.01)))
            | _own(objective, 0.5, model="other")
            | _own("feature_psi", 0.9),
            (105, (_told(AGE, WARNING), _told(AMOUNT, WARNING))),
            resolved=210,
        ),
    ]


def _both(**changes: object) -> Series:
    return _twins(world(baseline(), canary(**changes)))


def _twins(series: Series) -> Series:
    """The same world with a second feature that does what the first one does."""
    of = 'feature="amount"'
    return series | {name.replace(of, 'feature="age"'): values for name, values in series.items() if of in name}


def _of_reference(fact: str, value: float) -> Series:
    return gauge(f"mlcanary_feature_reference_{fact}", {**EXPORTER, "model": MODEL, **AMOUNT}, (0, value))


def _own(objective: str, limit: float, *, model: str = MODEL, of: Labels = EXPORTER) -> Series:
    labels = {**of, "model": model, "objective": objective, **AGE}
    return gauge("mlcanary_feature_objective_threshold", labels, (0, limit))


def _told(feature: Labels, severity: Labels) -> Labels:
    return {**CANARY, **feature, **severity}
