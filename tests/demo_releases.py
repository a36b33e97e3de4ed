"""Audit rows of two releases as the handler writes them: one that went to all traffic, one that was rolled back."""

from __future__ import annotations

import msgspec

from mlcanary.handler.ledger.audit import AuditRow

STEPS = (1, 5, 100)


def row(at: float, kind: str, body: dict[str, object], actor: str = "handler") -> AuditRow:
    return AuditRow(0, at, actor, kind, "router", msgspec.json.encode(body).decode(), "")


def said(word: str, trials: float, judged: float) -> dict[str, object]:
    return {"word": word, "may_expand": True, "trials": trials, "judged": judged}


def step(release: str, number: int, decided: float, effect: float, evidence: dict[str, object]) -> list[AuditRow]:
    """A step that was decided and confirmed, with the move that the ledger writes beside it."""
    action = f"{release}-{number}"
    return [
        row(decided, "step", {"release": release, "action": action, "step": number, "note": "n", "evidence": evidence}),
        row(decided, "release", {"release": release, "state": "step", "note": "n"}),
        row(decided, "dispatch", {"action": action, "attempt": 1, "desired": {}}),
        row(effect, "effect", {"release": release, "action": action, "state": "confirmed", "note": ""}),
    ]


def moved(release: str, at: float, state: str) -> AuditRow:
    return row(at, "release", {"release": release, "state": state, "note": f"went to {state}"})


def submitted(release: str, at: float, candidate: str, stable: str) -> AuditRow:
    body: dict[str, object] = {"release": release, "candidate": candidate, "digest": "d", "stable": stable}
    return row(at, "submit", body, actor="ada")


GOOD = [
    submitted("r1", 100.0, "v2", "v1"),
    *step("r1", 0, 101.0, 101.5, said("no_data", 20, 99.0)),
    *step("r1", 1, 120.0, 120.5, said("inconclusive", 60, 118.0)),
    *step("r1", 2, 140.0, 140.5, said("healthy", 400, 138.0)),
    moved("r1", 141.0, "soak"),
    row(160.0, "proven", {"digest": "d0", "name": "v1"}),
    row(160.0, "proven", {"digest": "d", "release": "r1", "evidence": said("no_data", 420, 158.0)}),
    moved("r1", 160.0, "proven"),
]
BAD = [
    submitted("r2", 200.0, "v3", "v2"),
    *step("r2", 0, 201.0, 201.5, said("no_data", 20, 199.0)),
    moved("r2", 220.0, "rolling_back"),
    moved("r2", 220.5, "verifying"),
    moved("r2", 250.0, "rolled_back"),
]
