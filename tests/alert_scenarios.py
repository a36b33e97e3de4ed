"""Every shipped alert: worlds in which it fires and resolves, and worlds in which it must not fire, with the reason."""

from __future__ import annotations

from dataclasses import dataclass

from alert_worlds import (
    EXPORTER,
    HANDLER,
    MINUTES,
    MODEL,
    Course,
    Series,
    baseline,
    canary,
    counter,
    exporter,
    gauge,
    handler,
    steady,
    world,
)
from promtool_cases import Labels, series_name

HEALTHY = world(baseline(), canary())
SOURCE = {**EXPORTER, "source": "/var/log/model.jsonl"}
CANARY, BASELINE = {"model": MODEL, "version": "v2"}, {"model": MODEL, "version": "v1"}
FAST, SLOW = {**CANARY, "window": "5m"}, {**CANARY, "window": "1h"}
ROLLBACK = {"severity": "critical", "action": "rollback"}
WARNING, CRITICAL = {"severity": "warning"}, {"severity": "critical"}


@dataclass(frozen=True)
class Scenario:
    """`firing`: at these minutes exactly these label sets fire; `quiet`: at these minutes none does."""

    alert: str
    because: str
    series: Series
    firing: tuple[tuple[int, tuple[Labels, ...]], ...] = ()
    quiet: tuple[int, ...] = ()


def fires(alert: str, because: str, series: Series, *firing: tuple[int, tuple[Labels, ...]], resolved: int) -> Scenario:
    """It fires at the minutes given and is over at the minute `resolved`."""
    return Scenario(alert, because, series, firing, (1, resolved))


def silent(alert: str, because: str, series: Series, until: int = 125) -> Scenario:
    """It never fires; what breaks in a world does so between 30 and 90 minutes."""
    return Scenario(alert, because, series, quiet=tuple(range(5, until, 5)))


def _comparisons() -> list[Scenario]:
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


def _labels_that_prove_nothing() -> list[Scenario]:
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


def _information() -> list[Scenario]:
    stopped: Course = ((0, 100.0), (60, 0.0))
    share = {**HANDLER, "target": "router", "model": MODEL, "version": "v2"}
    feature = {"feature": "amount"}
    return [
        fires(
            "MLCanaryErrorBudgetBurn",
            "the baseline fails 5 % of its requests",
            world(baseline(failed=((0, 0.002), (60, 0.05), (100, 0.002))), canary()),
            (95, ({**BASELINE, **CRITICAL},)),
            resolved=120,
        ),
        silent(
            "MLCanaryErrorBudgetBurn",
            "1 % is over budget, but not 14 times",
            world(baseline(failed=steady(0.01)), canary()),
        ),
        fires(
            "MLCanaryFeatureDrift",
            "most values of the canary's feature move to the lower bin",
            world(baseline(), canary(low=((0, 0.5), (60, 0.95), (130, 0.5)))),
            (120, ({**CANARY, **feature, **WARNING},)),
            resolved=250,
        ),
        silent(
            "MLCanaryFeatureDrift",
            "so few predictions drift that far by chance",
            world(baseline(), canary(per_minute=steady(0.5), low=((0, 0.5), (60, 0.8)))),
        ),
        silent("MLCanaryFeatureDrift", "a small shift", world(baseline(), canary(low=((0, 0.5), (60, 0.65))))),
        fires(
            "MLCanaryFeatureMissing",
            "a fifth of the canary's predictions lack the feature",
            world(baseline(), canary(missing=((0, 0.01), (60, 0.2), (110, 0.01)))),
            (105, ({**CANARY, **feature, **WARNING},)),
            resolved=210,
        ),
        silent("MLCanaryFeatureMissing", "a few always lack it", world(baseline(), canary(missing=steady(0.04)))),
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
            "a canary without traffic, as after a rollback, waits for nothing",
            world(baseline(), canary(per_minute=steady(0.0))),
        ),
        fires(
            "MLCanaryBaselineMissing",
            "the baseline gets its role an hour late",
            world(baseline(role="unassigned"), canary())
            | gauge("mlcanary_model_info", {**EXPORTER, **BASELINE, "role": "baseline", "task": "binary"}, (60, 1.0)),
            (30, ({**CANARY, **WARNING},)),
            resolved=65,
        ),
        silent(
            "MLCanaryBaselineMissing",
            "a canary without traffic endangers nobody",
            world(canary(per_minute=steady(0.0))),
        ),
        fires(
            "MLCanaryNoPredictions",
            "the canary falls silent; after an hour it counts as gone",
            world(baseline(), canary(per_minute=stopped)),
            (80, ({**CANARY, "role": "canary", **WARNING},)),
            resolved=130,
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


def _exporter() -> list[Scenario]:
    measured = {**EXPORTER, "model": MODEL}
    idle = {"job": "mlcanary-exporter", "instance": "idle:10877"}
    outage: Course = ((0, 1.0), (30, 0.0), (60, 1.0))
    lines: Course = ((0, 1.0), (30, 200.0), (60, 1.0))
    limited = {**EXPORTER, "reason": "versions"}
    hole: Course = ((0, 0.0), (30, 1e8), (34, 0.0))
    return [
        fires(
            "MLCanaryExporterDown",
            "the exporter of a model does not answer",
            HEALTHY | gauge("up", EXPORTER, *outage),
            (40, ({**measured, **CRITICAL},)),
            resolved=61,
        ),
        fires(
            "MLCanaryExporterDown",
            "an exporter that has measured no model yet does not answer",
            HEALTHY | exporter(idle) | gauge("up", idle, *outage),
            (40, ({**idle, **CRITICAL},)),
            resolved=61,
        ),
        Scenario("MLCanaryExporterDown", "there is no exporter at all", handler(), ((10, (CRITICAL,)),), (1,)),
        silent(
            "MLCanaryExporterDown",
            "somebody else's target is down",
            HEALTHY | gauge("up", {"job": "node", "instance": "node:9100"}, (0, 0.0)),
        ),
        fires(
            "MLCanarySourceUnreadable",
            "the log of a measured model cannot be read",
            HEALTHY | gauge("mlcanary_up", SOURCE, *outage),
            (45, ({**measured, **CRITICAL},)),
            resolved=61,
        ),
        fires(
            "MLCanarySourceUnreadable",
            "the log could never be read, so no model is known",
            HEALTHY | exporter(idle) | gauge("mlcanary_up", {**idle, "source": "/nowhere"}, (0, 0.0), (30, 1.0)),
            (20, ({**idle, **CRITICAL},)),
            resolved=31,
        ),
        silent(
            "MLCanarySourceUnreadable",
            "the log was away for two minutes, as in a rotation",
            HEALTHY | gauge("mlcanary_up", SOURCE, (0, 1.0), (30, 0.0), (32, 1.0)),
        ),
        fires(
            "MLCanarySourceLagging",
            "the exporter stays 100 MB behind",
            HEALTHY | gauge("mlcanary_log_lag_bytes", SOURCE, (0, 0.0), (30, 1e8), (70, 0.0)),
            (55, ({**measured, **WARNING},)),
            resolved=71,
        ),
        silent(
            "MLCanarySourceLagging",
            "a burst that is worked off",
            HEALTHY | gauge("mlcanary_log_lag_bytes", SOURCE, *hole),
        ),
        fires(
            "MLCanaryParseErrors",
            "a fifth of the lines cannot be used",
            HEALTHY | counter("mlcanary_log_parse_errors_total", {**SOURCE, "reason": "json"}, *lines),
            (50, ({**SOURCE, **WARNING},)),
            resolved=85,
        ),
        silent("MLCanaryParseErrors", "one line in a thousand is broken", HEALTHY),
        fires(
            "MLCanarySeriesLimited",
            "names are folded for a minute",
            HEALTHY | counter("mlcanary_series_limited_total", limited, (0, 0.0), (30, 5.0), (31, 0.0)),
            (35, ({**limited, **WARNING},)),
            resolved=50,
        ),
        fires(
            "MLCanarySeriesLimited",
            "names are folded before the first scrape of a new exporter",
            HEALTHY | gauge("mlcanary_series_limited_total", limited, (30, 5.0)),
            (35, ({**limited, **WARNING},)),
            resolved=50,
        ),
        silent("MLCanarySeriesLimited", "nothing is folded", HEALTHY),
        fires(
            "MLCanaryConfigReloadFailed",
            "a wrong configuration is loaded and mended later",
            HEALTHY | gauge("mlcanary_config_last_reload_successful", EXPORTER, *outage),
            (50, ({**EXPORTER, **WARNING},)),
            resolved=61,
        ),
        silent("MLCanaryConfigReloadFailed", "the configuration is good", HEALTHY),
        fires(
            "MLCanaryCheckpointFailing",
            "the disk is full for ten minutes",
            HEALTHY | counter("mlcanary_checkpoint_errors_total", EXPORTER, (0, 0.0), (30, 6.0), (40, 0.0)),
            (40, ({**EXPORTER, **WARNING},)),
            resolved=60,
        ),
        silent("MLCanaryCheckpointFailing", "checkpoints succeed", HEALTHY),
    ]


def _handler() -> list[Scenario]:
    target = {**HANDLER, "target": "router"}
    outage: Course = ((0, 1.0), (30, 0.0), (60, 1.0))
    ended = {**target, "model": MODEL}
    open_incident = {**target, "state": "verifying"}
    return [
        fires(
            "MLCanaryHandlerDown",
            "the handler does not answer",
            HEALTHY | gauge("up", HANDLER, *outage),
            (40, ({**HANDLER, **CRITICAL},)),
            resolved=61,
        ),
        silent("MLCanaryHandlerDown", "an exporter is down, not the handler", HEALTHY | gauge("up", EXPORTER, *outage)),
        fires(
            "MLCanaryAlertsNotDelivered",
            "the watchdog does not come for half an hour",
            HEALTHY
            | {
                series_name("mlcanary_watchdog_last_received_timestamp_seconds", HANDLER): [
                    60.0 * (30 if 30 < m < 60 else m) for m in range(MINUTES)
                ]
            },
            (55, ({**HANDLER, **CRITICAL},)),
            resolved=62,
        ),
        Scenario(
            "MLCanaryAlertsNotDelivered",
            "the watchdog has never come",
            gauge("mlcanary_handler_build_info", HANDLER, (0, 1.0)),
            ((20, ({**HANDLER, **CRITICAL},)),),
            (1,),
        ),
        silent("MLCanaryAlertsNotDelivered", "the watchdog comes every minute", HEALTHY),
        fires(
            "MLCanaryTargetDown",
            "the router's socket is away",
            HEALTHY | gauge("mlcanary_target_up", target, *outage),
            (45, ({**target, **CRITICAL},)),
            resolved=61,
        ),
        silent(
            "MLCanaryTargetDown",
            "one observation failed",
            HEALTHY | gauge("mlcanary_target_up", target, (0, 1.0), (30, 0.0), (31, 1.0)),
        ),
        fires(
            "MLCanaryRollbackFailed",
            "a rollback fails",
            HEALTHY
            | counter("mlcanary_rollbacks_total", {**ended, "outcome": "failed"}, (0, 0.0), (30, 1.0), (31, 0.0)),
            (35, ({**ended, "outcome": "failed", **CRITICAL},)),
            resolved=55,
        ),
        fires(
            "MLCanaryRollbackFailed",
            "the first rollback of a handler does not move the traffic",
            HEALTHY | gauge("mlcanary_rollbacks_total", {**ended, "outcome": "ineffective"}, (30, 1.0)),
            (35, ({**ended, "outcome": "ineffective", **CRITICAL},)),
            resolved=55,
        ),
        silent(
            "MLCanaryRollbackFailed",
            "a rollback succeeds",
            HEALTHY | counter("mlcanary_rollbacks_total", {**ended, "outcome": "resolved"}, (30, 1.0), (31, 0.0)),
        ),
        fires(
            "MLCanaryRollbackStuck",
            "an incident stays open for fifty minutes",
            HEALTHY | gauge("mlcanary_incident_open", open_incident, (0, 0.0), (30, 1.0), (80, 0.0)),
            (65, ({**target, **CRITICAL},)),
            resolved=81,
        ),
        silent(
            "MLCanaryRollbackStuck",
            "an incident is proven within ten minutes",
            HEALTHY | gauge("mlcanary_incident_open", open_incident, (0, 0.0), (30, 1.0), (40, 0.0)),
        ),
        Scenario(
            "MLCanaryWatchdog",
            "always, even without any data",
            {},
            tuple((m, ({"severity": "none"},)) for m in (1, 60)),
        ),
    ]


SCENARIOS = [*_comparisons(), *_labels_that_prove_nothing(), *_information(), *_exporter(), *_handler()]
ALWAYS = "MLCanaryWatchdog"
