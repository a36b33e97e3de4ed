"""Scenarios of the alerts about labels that do not come, or not yet."""

from __future__ import annotations

from alert_worlds import (
    BASELINE,
    CANARY,
    EXPORTER,
    MODEL,
    WARNING,
    Course,
    Scenario,
    Series,
    baseline,
    canary,
    counter,
    fires,
    gauge,
    silent,
    steady,
    world,
)


def of_labels() -> list[Scenario]:
    """Labels of too few predictions, and too few labels for a comparison."""
    return [
        fires(
            "MLCanaryLabelCoverageLow",
            "the labels of the baseline stop coming",
            world(baseline(covered=((0, 0.9), (60, 0.05), (130, 0.9))), canary()),
            (125, ({**BASELINE, **WARNING},)),
            resolved=200,
        ),
        silent(
            "MLCanaryLabelCoverageLow",
            "nobody compares an unassigned version",
            world(baseline(), canary(role="unassigned", covered=steady(0.1))),
        ),
        fires(
            "MLCanaryInsufficientLabels",
            "the canary gets two requests per minute at first",
            world(baseline(), canary(per_minute=((0, 2.0), (100, 100.0)))),
            (60, ({**CANARY, "severity": "info"},)),
            resolved=120,
        ),
        silent(
            "MLCanaryInsufficientLabels",
            "a version without a role has few labels, the canary has enough",
            world(baseline(), canary(role="unassigned", per_minute=steady(2.0)), canary(name="v3")),
        ),
        silent(
            "MLCanaryInsufficientLabels",
            "there is no canary that waits for the few labels of its baseline",
            world(baseline(per_minute=steady(2.0)), canary(role="unassigned")),
        ),
        silent(
            "MLCanaryInsufficientLabels",
            "a canary without traffic, as after a rollback, waits for nothing",
            world(baseline(), canary(per_minute=steady(0.0))),
        ),
        silent(
            "MLCanaryInsufficientLabels",
            "a canary that is younger than the maturity of its labels waits for them",
            world(baseline()) | _unlabeled_canary(maturity=7200.0, pending=500.0),
        ),
        fires(
            "MLCanaryInsufficientLabels",
            "labels have a maturity, but no prediction of the canary waits: they have no ids",
            world(baseline())
            | _unlabeled_canary(maturity=7200.0, pending=0.0, until=90)
            | gauge("mlcanary_label_join_pending", {**EXPORTER, **BASELINE}, (0, 500.0)),
            (60, ({**CANARY, "severity": "info"},)),
            resolved=120,
        ),
        fires(
            "MLCanaryInsufficientLabels",
            "labels count as they come, and none does",
            world(baseline()) | _unlabeled_canary(maturity=0.0, pending=500.0, until=90),
            (60, ({**CANARY, "severity": "info"},)),
            resolved=120,
        ),
    ]


def _unlabeled_canary(*, maturity: float, pending: float, until: int | None = None) -> Series:
    """A canary with traffic, up to a minute, of which no prediction has been decided."""
    of = {**EXPORTER, **CANARY}
    traffic: Course = ((0, 100.0),) if until is None else ((0, 100.0), (until, 0.0))
    return {
        **gauge("mlcanary_model_info", {**of, "role": "canary", "task": "binary"}, (0, 1.0)),
        **counter("mlcanary_predictions_total", {**of, "predicted": "1"}, *traffic),
        **gauge("mlcanary_label_join_pending", of, (0, pending)),
        **gauge("mlcanary_label_maturity_seconds", {**EXPORTER, "model": MODEL}, (0, maturity)),
    }
