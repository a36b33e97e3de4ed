"""When a run of the demo counts as good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlcanary.demo.verdict import VERDICT_ALERT, Evidence, bug_checks, healthy_checks

ASKED = "the alert fired, and no other asked for a rollback"

ROLLED_BACK = Evidence(
    verdicts=frozenset({"hold", "rollback"}),
    alerts=frozenset({VERDICT_ALERT}),
    fired=frozenset({VERDICT_ALERT}),
    effects=1,
    audited_effects=1,
    outcome="resolved",
    weights={"v1": 100, "v2": 0},
    canary_after_effect=0,
    canary_silent_seconds=0.02,
    sent=10,
    answered=10,
    failed=0,
)
HEALTHY = Evidence(
    verdicts=frozenset({"no_data", "hold"}),
    alerts=frozenset(),
    fired=frozenset(),
    effects=0,
    audited_effects=0,
    outcome=None,
    weights={"v1": 90, "v2": 10},
    canary_after_effect=None,
    canary_silent_seconds=0.0,
    sent=10,
    answered=10,
    failed=0,
)


def test_a_proven_rollback_keeps_every_promise() -> None:
    assert all(check.held for check in bug_checks(ROLLED_BACK, canary="v2"))


def test_a_quiet_run_keeps_every_promise() -> None:
    assert all(check.held for check in healthy_checks(HEALTHY, initial_weights={"v1": 90, "v2": 10}))


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        ({"verdicts": frozenset({"hold"})}, "the judge's verdict was rollback"),
        ({"fired": frozenset()}, ASKED),
        ({"alerts": frozenset({VERDICT_ALERT, "MLCanaryErrorsAboveBaseline"})}, ASKED),
        ({"effects": 2}, "exactly one effect was applied"),
        ({"audited_effects": None}, "exactly one effect was applied"),
        ({"audited_effects": 2}, "exactly one effect was applied"),
        ({"weights": {"v1": 90, "v2": 10}}, "HAProxy itself says that the canary gets nothing"),
        ({"weights": {"v1": 0, "v2": 0}}, "HAProxy itself says that the canary gets nothing"),
        ({"weights": {}}, "HAProxy itself says that the canary gets nothing"),
        ({"outcome": "ineffective"}, "the handler proved it from the traffic"),
        ({"outcome": None}, "the handler proved it from the traffic"),
        ({"canary_after_effect": 1}, "no prediction after the verified effect came from the canary"),
        ({"canary_after_effect": None}, "no prediction after the verified effect came from the canary"),
        ({"failed": 1, "answered": 9}, "clients saw no failed request"),
        ({"answered": 9}, "clients saw no failed request"),
        ({"sent": 0, "answered": 0}, "clients saw no failed request"),
    ],
)
def test_each_broken_promise_of_a_rollback_is_named(change: dict[str, Any], promise: str) -> None:
    checks = bug_checks(replace(ROLLED_BACK, **change), canary="v2")
    assert [check.promise for check in checks if not check.held] == [promise]


@pytest.mark.parametrize(
    ("change", "promise"),
    [
        ({"verdicts": frozenset({"hold", "rollback"})}, "the judge never asked for a rollback"),
        ({"verdicts": frozenset()}, "the judge never asked for a rollback"),
        ({"alerts": frozenset({"A"})}, 'no alert with action="rollback" became pending'),
        ({"effects": 1}, "no effect was applied"),
        ({"audited_effects": 1}, "no effect was applied"),
        ({"audited_effects": None}, "no effect was applied"),
        ({"weights": {"v1": 100, "v2": 0}}, "HAProxy still has the weights of the release"),
        ({"failed": 1, "answered": 9}, "clients saw no failed request"),
    ],
)
def test_each_broken_promise_of_a_quiet_run_is_named(change: dict[str, Any], promise: str) -> None:
    checks = healthy_checks(replace(HEALTHY, **change), initial_weights={"v1": 90, "v2": 10})
    assert [check.promise for check in checks if not check.held] == [promise]
