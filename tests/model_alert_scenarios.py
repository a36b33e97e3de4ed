"""Scenarios of the alerts about models."""

from __future__ import annotations

from alert_worlds import (
    BASELINE,
    CANARY,
    EXPORTER,
    FAST,
    HANDLER,
    HEALTHY,
    INFO,
    MODEL,
    ROLLBACK,
    SLOW,
    WARNING,
    Course,
    Scenario,
    Series,
    baseline,
    canary,
    fires,
    gauge,
    hourly,
    silent,
    steady,
    world,
)


def comparisons() -> list[Scenario]:
    """Alerts that ask for a rollback: their two windows, and what must keep them silent."""
    scenarios = []
    #        alert                             figure      measure     good  much worse  a little worse
    for alert, figure, measure, good, plainly, slightly in (
        ("MLCanaryAccuracyBelowBaseline", "accuracy", "accuracy", 0.9, 0.6, 0.85),
        ("MLCanaryAUCBelowBaseline", "ranking", "auc", 0.85, 0.6, 0.80),
        ("MLCanaryLogLossAboveBaseline", "log_loss", "log_loss", 0.3, 0.9, 0.36),
        ("MLCanaryErrorsAboveBaseline", "failed", "errors", 0.002, 0.3, 0.03),
    ):
        fast, slow = ({**labels, **ROLLBACK, "measure": measure} for labels in (FAST, SLOW))
        broken: Course = ((0, good), (60, plainly), (90, good))
        tired: Course = ((0, good), (60, slightly), (120, good))
        shadow = world(baseline(), canary(role="shadow", **{figure: broken}))
        scenarios += [
            fires(
                alert,
                "the canary breaks plainly for half an hour: first the fast rule, then the slow one",
                world(baseline(), canary(**{figure: broken})),
                (67, (fast,)),
                (85, (fast, slow)),
                resolved=175,
            ),
            fires(
                alert,
                "the canary gets a little worse: only the slow rule sees it",
                world(baseline(), canary(**{figure: tired})),
                (115, (slow,)),
                resolved=210,
            ),
            silent(
                alert,
                "baseline and canary break together: the cause is shared, a rollback would not help",
                world(baseline(**{figure: broken}), canary(**{figure: broken})),
                until=95,
            ),
            silent(
                alert,
                "the canary gets as few requests as say nothing",
                world(baseline(), canary(per_minute=steady(3.0), **{figure: broken})),
                until=95,
            ),
            silent(alert, "a shadow takes no traffic from anybody: nothing is to be rolled back", shadow, until=95),
            silent(
                alert,
                "two sidecars disagree on the canary's role",
                shadow | world(baseline(), canary(**{figure: broken})),
                until=95,
            ),
            silent(alert, "there is no baseline to be worse than", world(canary(**{figure: broken})), until=95),
            silent(alert, "no data at all", {}, until=20),
        ]
    return scenarios


def labels_that_prove_nothing() -> list[Scenario]:
    """What keeps a comparison silent or apart."""
    broken: Course = ((0, 0.9), (60, 0.6), (90, 0.9))
    edges = gauge("mlcanary_bin_edges_info", {**EXPORTER, "model": MODEL, "edges": "77aa"}, (0, 1.0))
    ranking: Course = ((0, 0.85), (60, 0.6), (90, 0.85))
    return [
        silent(
            "MLCanaryAccuracyBelowBaseline",
            "too few of the canary's predictions have a label: the labelled ones may be the odd ones",
            world(baseline(), canary(accuracy=broken, covered=steady(0.4))),
        ),
        silent(
            "MLCanaryAccuracyBelowBaseline",
            "the same for the baseline",
            world(baseline(covered=steady(0.4)), canary(accuracy=broken)),
        ),
        silent(
            "MLCanaryAccuracyBelowBaseline",
            "the difference is certain but small",
            world(baseline(), canary(accuracy=((0, 0.9), (60, 0.885)))),
        ),
        silent(
            "MLCanaryAccuracyBelowBaseline",
            "the difference is large but may be chance",
            world(baseline(), canary(per_minute=steady(5.0), accuracy=((0, 0.9), (60, 0.86)))),
        ),
        *(
            silent(
                alert,
                "the difference is large but may be chance",
                world(baseline(), canary(per_minute=steady(5.0), **{figure: ((0, good), (60, bad))})),
                until=95,
            )
            for alert, figure, good, bad in (
                ("MLCanaryAUCBelowBaseline", "ranking", 0.85, 0.7),
                ("MLCanaryLogLossAboveBaseline", "log_loss", 0.3, 0.6),
            )
        ),
        *(
            scenario
            for alert, figure, measure, good, plainly, slightly, seen in (
                ("MLCanaryAccuracyBelowBaseline", "accuracy", "accuracy", 0.9, 0.6, 0.85, 85),
                ("MLCanaryAUCBelowBaseline", "ranking", "auc", 0.85, 0.6, 0.80, 88),
                ("MLCanaryLogLossAboveBaseline", "log_loss", "log_loss", 0.3, 0.9, 0.36, 85),
            )
            for scenario in (
                fires(
                    alert,
                    "labels become few when it breaks: the fast rule waits for more, the hour has enough",
                    world(baseline(), canary(covered=((0, 0.9), (60, 0.45)), **{figure: ((0, good), (60, plainly))})),
                    (seen, ({**SLOW, **ROLLBACK, "measure": measure},)),
                    resolved=30,
                ),
                silent(
                    alert,
                    "labels have come for ten minutes; most of the hour has none",
                    world(baseline(), canary(covered=((0, 0.1), (80, 0.95)), **{figure: steady(slightly)})),
                    until=95,
                ),
            )
        ),
        silent(
            "MLCanaryErrorsAboveBaseline",
            "the difference is large but may be chance",
            world(baseline(), canary(per_minute=steady(4.0), failed=((0, 0.002), (60, 0.0145)))),
        ),
        fires(
            "MLCanaryErrorsAboveBaseline",
            "ten requests per minute are too few for the fast rule, those of an hour are enough",
            world(baseline(), canary(per_minute=steady(10.0), failed=((0, 0.002), (60, 0.3)))),
            (85, ({**SLOW, **ROLLBACK, "measure": "errors"},)),
            resolved=30,
        ),
        silent(
            "MLCanaryAUCBelowBaseline",
            "two sidecars count in different bins",
            world(baseline(), canary(ranking=ranking)) | edges,
        ),
        silent(
            "MLCanaryAUCBelowBaseline",
            "the canary has seen a handful of positives",
            world(baseline(), canary(ranking=ranking, positive=0.004)),
        ),
        fires(
            "MLCanaryAccuracyBelowBaseline",
            "the same model in two namespaces: only the broken one is accused",
            _namespaces(broken),
            (67, ({**FAST, **ROLLBACK, "measure": "accuracy", "namespace": "a"},)),
            resolved=175,
        ),
    ]


def _namespaces(broken: Course) -> Series:
    a, b = ({**EXPORTER, "namespace": name, "instance": f"{name}:10877"} for name in "ab")
    return world(baseline(target=a), canary(target=a, accuracy=broken), target=a) | world(
        baseline(target=b), canary(target=b), target=b
    )


def information() -> list[Scenario]:
    """Alerts about models that only inform."""
    stopped: Course = ((0, 100.0), (60, 0.0))
    share = {**HANDLER, "target": "router", "model": MODEL, "version": "v2"}
    feature = {"feature": "amount"}
    second = {**EXPORTER, "instance": "second:10877"}
    return [
        fires(
            "MLCanaryFeatureDrift",
            "most values of the canary's feature move to the lower bin; another model has two sets of edges",
            world(baseline(), canary(low=((0, 0.5), (60, 0.95), (130, 0.5))))
            | _edges("other", "5f2a")
            | _edges("other", "77aa"),
            (120, ({**CANARY, **feature, **WARNING},)),
            resolved=250,
        ),
        silent(
            "MLCanaryFeatureDrift",
            "so few predictions drift that far by chance",
            world(baseline(), canary(per_minute=steady(0.5), low=((0, 0.5), (60, 0.8)))),
        ),
        *(
            silent(
                alert,
                "the same while two sidecars count in different bins",
                world(baseline(), canary(per_minute=steady(200.0), low=((0, 0.5), (60, 0.95)))) | _edges(MODEL, "77aa"),
            )
            for alert in ("MLCanaryFeatureDrift", "MLCanaryFeatureChanged")
        ),
        silent("MLCanaryFeatureDrift", "a small shift", world(baseline(), canary(low=((0, 0.5), (60, 0.65))))),
        fires(
            "MLCanaryFeatureChanged",
            "5 % of the canary's values become one constant: far below any limit of PSI",
            world(baseline(), canary(per_minute=steady(200.0), low=((0, 0.5), (60, 0.55), (130, 0.5)))),
            (125, ({**CANARY, **feature, **INFO},)),
            resolved=260,
        ),
        fires(
            "MLCanaryFeatureChanged",
            "the canary's values that used to be missing are filled in",
            world(baseline(missing=steady(0.06)), canary(missing=((0, 0.06), (60, 0.0), (130, 0.06))))
            | gauge("mlcanary_feature_reference_missing_ratio", {**EXPORTER, "model": MODEL, **feature}, (0, 0.06)),
            (125, ({**CANARY, **feature, **INFO},)),
            resolved=260,
        ),
        silent(
            "MLCanaryFeatureChanged",
            "so few predictions change that far by chance",
            world(baseline(), canary(per_minute=steady(2.0), low=((0, 0.5), (60, 0.6)))),
        ),
        silent(
            "MLCanaryFeatureChanged",
            "two in a hundred values move: certain but small",
            world(baseline(low=((0, 0.5), (60, 0.52))), canary()),
        ),
        silent(
            "MLCanaryFeatureChanged",
            "three predictions say nothing, wherever they fall",
            world(baseline(), canary(per_minute=steady(0.05), low=((0, 0.5), (60, 1.0)))),
        ),
        fires(
            "MLCanaryFeatureMissing",
            "a fifth of the canary's predictions lack the feature",
            world(baseline(), canary(missing=((0, 0.01), (60, 0.2), (110, 0.01)))),
            (105, ({**CANARY, **feature, **WARNING},)),
            resolved=210,
        ),
        silent("MLCanaryFeatureMissing", "a few always lack it", world(baseline(), canary(missing=steady(0.04)))),
        fires(
            "MLCanaryBaselineMissing",
            "the baseline gets its role an hour late",
            world(baseline(role="unassigned"), canary())
            | gauge("mlcanary_model_info", {**EXPORTER, **BASELINE, "role": "baseline", "task": "binary"}, (60, 1.0)),
            (30, ({**CANARY, **WARNING},)),
            resolved=65,
        ),
        silent("MLCanaryBaselineMissing", "there is a baseline", HEALTHY),
        silent(
            "MLCanaryBaselineMissing",
            "no version has a role yet",
            world(baseline(role="unassigned"), canary(role="unassigned")),
        ),
        silent(
            "MLCanaryBaselineMissing",
            "a canary without traffic endangers nobody",
            world(canary(per_minute=steady(0.0))),
        ),
        fires(
            "MLCanaryNoPredictions",
            "the canary falls silent, seen by two sidecars; after an hour more it counts as gone",
            world(baseline(), canary(per_minute=stopped))
            | gauge("mlcanary_model_info", {**second, **CANARY, "role": "canary", "task": "binary"}, (0, 1.0))
            | gauge("mlcanary_target_share_ratio", {**share, "version": "v1"}, (0, 0.0))
            | gauge("mlcanary_target_share_ratio", {**share, "model": "other"}, (0, 0.0)),
            (80, ({**CANARY, "role": "canary", **WARNING},)),
            (130, ({**CANARY, "role": "canary", **WARNING},)),
            resolved=140,
        ),
        fires(
            "MLCanaryNoPredictions",
            "the canary falls silent at once",
            world(baseline(), canary(per_minute=((0, 100.0), (5, 0.0)))),
            (30, ({**CANARY, "role": "canary", **WARNING},)),
            resolved=100,
        ),
        silent(
            "MLCanaryNoPredictions",
            "twelve minutes without a request",
            world(baseline(per_minute=((0, 900.0), (60, 0.0), (72, 900.0))), canary()),
        ),
        fires(
            "MLCanaryNoPredictions",
            "an hourly batch, which may be quiet for two hours, is not run any more for more than that",
            world(
                baseline(per_minute=hourly(20.0, 10, 70, 230)),
                canary(per_minute=hourly(20.0, 10, 70)),
                limits={"quiet_seconds": 7200.0},
            ),
            (204, tuple({**of, "role": role, **WARNING} for of, role in ((BASELINE, "baseline"), (CANARY, "canary")))),
            (240, ({**CANARY, "role": "canary", **WARNING},)),
            resolved=262,
        ),
        silent(
            "MLCanaryNoPredictions",
            "an hourly batch, which may be quiet for two hours, leaves one out",
            world(baseline(per_minute=hourly(20.0, 10, 70, 188, 250)), limits={"quiet_seconds": 7200.0}),
            until=265,
        ),
        fires(
            "MLCanaryNoPredictions",
            "the baseline falls silent and comes back",
            world(baseline(per_minute=((0, 900.0), (60, 0.0), (140, 900.0))), canary()),
            (135, ({**BASELINE, "role": "baseline", **WARNING},)),
            resolved=145,
        ),
        silent(
            "MLCanaryNoPredictions",
            "the handler has taken the canary's traffic: silence is what was wanted",
            world(baseline(), canary(per_minute=stopped))
            | gauge("mlcanary_target_share_ratio", share, (0, 0.1), (59, 0.0)),
        ),
        silent(
            "MLCanaryNoPredictions",
            "a canary that has never had traffic has not stopped",
            world(baseline(), canary(per_minute=steady(0.0))),
        ),
        fires(
            "MLCanaryRoleConflict",
            "one sidecar calls the canary a baseline for a while",
            HEALTHY
            | gauge(
                "mlcanary_model_info",
                {**EXPORTER, **CANARY, "role": "baseline", "task": "binary"},
                (30, 1.0),
                (60, None),
            ),
            (50, ({**CANARY, **WARNING},)),
            resolved=70,
        ),
        silent("MLCanaryRoleConflict", "every version has one role", HEALTHY),
        fires(
            "MLCanaryEdgesMismatch",
            "a sidecar runs with another reference profile for a while",
            HEALTHY
            | gauge("mlcanary_bin_edges_info", {**EXPORTER, "model": MODEL, "edges": "77aa"}, (30, 1.0), (60, None)),
            (50, ({"model": MODEL, **WARNING},)),
            resolved=70,
        ),
        silent("MLCanaryEdgesMismatch", "all sidecars agree", HEALTHY),
    ]


def _edges(model: str, edges: str) -> Series:
    return gauge("mlcanary_bin_edges_info", {**EXPORTER, "model": model, "edges": edges}, (0, 1.0))
