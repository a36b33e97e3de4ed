"""Whether a run kept the promise, from what was measured. Pure.

Guarantee: a run is good only if every check is; a figure that could not be had fails its check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlcanary.catalog import Verdict

VERDICT_ALERT = "MLCanaryRollbackVerdict"
"""The one alert that may ask for a rollback while a judge judges."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left behind.

    `verdicts` are what the judge said of the canary at any second of the run. `alerts` holds the names of alerts with
    action="rollback" that were pending or firing at any evaluation, `fired` those that fired. `effects` counts changes
    that the handler applied, `audited_effects` the same in its audit, None when it could not be read. `weights` are
    HAProxy's own at the end. `canary_after_effect` counts canary predictions whose event time lies after the moment at
    which HAProxy's weight was read back, None when there was no effect; `canary_silent_seconds` is how long before that
    moment the last one was. `sent`, `answered` and `failed` are the client's requests.
    """

    verdicts: frozenset[str]
    alerts: frozenset[str]
    fired: frozenset[str]
    effects: int
    audited_effects: int | None
    outcome: str | None
    weights: Mapping[str, int]
    canary_after_effect: int | None
    canary_silent_seconds: float
    sent: int
    answered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: whether it held, and the figure behind it."""

    held: bool
    promise: str
    figure: str


def bug_checks(evidence: Evidence, *, canary: str) -> tuple[Check, ...]:
    """The promises of a run with a bug. `canary` is its version, the key in `weights`."""
    late = evidence.canary_after_effect
    return (
        Check(Verdict.ROLLBACK in evidence.verdicts, "the judge's verdict was rollback", listed(evidence.verdicts)),
        Check(
            evidence.fired == evidence.alerts == {VERDICT_ALERT},
            "the alert fired, and no other asked for a rollback",
            listed(evidence.alerts | evidence.fired),
        ),
        Check(
            evidence.effects == 1 and evidence.audited_effects == 1,
            "exactly one effect was applied",
            f"handler metrics {evidence.effects}, audit {evidence.audited_effects}",
        ),
        Check(
            evidence.weights.get(canary) == 0 and sum(evidence.weights.values()) > 0,
            "HAProxy itself says that the canary gets nothing",
            weights_told(evidence.weights),
        ),
        Check(
            evidence.outcome == "resolved",
            "the handler proved it from the traffic",
            evidence.outcome or "no incident ended",
        ),
        Check(
            late == 0,
            "no prediction after the verified effect came from the canary",
            "no effect" if late is None else f"{late}; the last one {evidence.canary_silent_seconds:.3f} s before it",
        ),
        _traffic_check(evidence),
    )


def healthy_checks(evidence: Evidence, *, initial_weights: Mapping[str, int]) -> tuple[Check, ...]:
    """The promises of a run without a bug."""
    return (
        Check(
            bool(evidence.verdicts) and Verdict.ROLLBACK not in evidence.verdicts,
            "the judge never asked for a rollback",
            listed(evidence.verdicts),
        ),
        Check(
            not evidence.alerts,
            'no alert with action="rollback" became pending',
            listed(evidence.alerts),
        ),
        Check(
            evidence.effects == 0 and evidence.audited_effects == 0,
            "no effect was applied",
            f"handler metrics {evidence.effects}, audit {evidence.audited_effects}",
        ),
        Check(
            dict(evidence.weights) == dict(initial_weights),
            "HAProxy still has the weights of the release",
            weights_told(evidence.weights),
        ),
        _traffic_check(evidence),
    )


def _traffic_check(evidence: Evidence) -> Check:
    return Check(
        evidence.failed == 0 and 0 < evidence.sent == evidence.answered,
        "clients saw no failed request",
        f"{evidence.failed} failed, {evidence.answered} of {evidence.sent} answered",
    )


def listed(names: frozenset[str]) -> str:
    """As the figure of a check."""
    return ", ".join(sorted(names)) or "none"


def weights_told(weights: Mapping[str, int]) -> str:
    """As the figure of a check."""
    return ", ".join(f"{version} {weight}" for version, weight in sorted(weights.items())) or "not readable"
