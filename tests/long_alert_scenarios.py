"""Scenarios that last for days: what an alert about something gone still remembers, and what it does not."""

from __future__ import annotations

from alert_worlds import CRITICAL, EXPORTER, HANDLER, JUDGE, MODEL, SOURCE, WARNING, Scenario, Series
from promtool_cases import Labels, Values, series_name

STEP = 20
"""Minutes between samples, and between evaluations."""


def of_days() -> list[Scenario]:
    """Processes that stay away, and counters that come back."""
    return [*_away(), _idle_exporter(), *_back_again()]


def samples(*runs: tuple[int, float | None]) -> Values:
    """Samples up to a minute each, of the value behind it."""
    values: list[float | None] = []
    for until, value in runs:
        values += [value] * (until // STEP - len(values))
    return values


def _process(build: str, labels: Labels, *, up: Values, info: Values) -> Series:
    return {series_name("up", labels): up, series_name(f"mlcanary_{build}_build_info", labels): info}


def _away() -> list[Scenario]:
    """Two of a job; one is down for longer than a day, the other is taken away when the first is forgotten."""
    scenarios = []
    for alert, build, labels, severity in (
        ("MLCanaryHandlerDown", "handler", HANDLER, CRITICAL),
        ("MLCanaryJudgeDown", "judge", JUDGE, WARNING),
    ):
        second = {**labels, "instance": "second:1"}
        series = _process(build, labels, up=samples((40, 1.0), (3000, 0.0)), info=samples((40, 1.0), (3000, None)))
        there = samples((1500, 1.0), (3000, None))
        down, gone = {**labels, **severity}, {"job": labels["job"], **severity}
        scenarios.append(
            Scenario(
                alert,
                "one is down, for a day told by its name; then the other one leaves discovery: that is told for a day",
                series | _process(build, second, up=there, info=there),
                ((60, (down,)), (1460, (down,)), (1520, (gone,)), (2920, (gone,))),
                (20, 1480, 2960),
                STEP,
            )
        )
    return scenarios


def _idle_exporter() -> Scenario:
    idle = {**EXPORTER, "instance": "idle:10877"}
    there = samples((1600, 1.0))
    down = {**idle, **CRITICAL}
    return Scenario(
        "MLCanaryExporterDown",
        "one that has measured nothing is down, and told for a day, while another one is well",
        _process("exporter", EXPORTER, up=there, info=there)
        | _process("exporter", idle, up=samples((40, 1.0), (1600, 0.0)), info=samples((40, 1.0), (1600, None))),
        ((60, (down,)), (1460, (down,))),
        (20, 1480),
        STEP,
    )


def _back_again() -> list[Scenario]:
    """What a process counted before it was away for more than a day is news."""
    of_handler = {**HANDLER, "target": "router"}
    of_model = {**of_handler, "model": MODEL}
    scenarios = []
    for alert, name, labels, severity in (
        ("MLCanaryRollbackFailed", "rollbacks", {**of_model, "outcome": "failed"}, CRITICAL),
        ("MLCanaryReleaseStuck", "releases", {**of_model, "outcome": "stuck"}, CRITICAL),
        ("MLCanaryWebhooksMissed", "missed_webhooks", of_handler, WARNING),
        ("MLCanaryMessagesNotSent", "notices", {**HANDLER, "receiver": "slack", "result": "dropped"}, WARNING),
        ("MLCanaryLogLost", "log_lost", {**SOURCE, "reason": "truncated"}, WARNING),
        ("MLCanarySeriesLimited", "series_limited", {**EXPORTER, "reason": "versions"}, WARNING),
    ):
        counted = samples((40, 1.0), (1960, None), (2060, 2.0))
        scenarios.append(
            Scenario(
                alert,
                "what was counted while nobody looked is told when it is seen again after more than a day, and once",
                {series_name(f"mlcanary_{name}_total", labels): counted},
                ((1960, ({**labels, **severity},)),),
                (1940, 2040),
                STEP,
            )
        )
    return scenarios
