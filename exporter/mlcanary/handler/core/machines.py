"""The state machines of the handler as tables. Pure.

Guarantee: the ledger writes no change of state that is not in its table, and the pictures in ARCHITECTURE.md are drawn
from the same rows. A state without an exit is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mlcanary.errors import MLCanaryError

NEW = ""
"""Where every machine starts: the row does not exist yet."""


class IllegalMoveError(MLCanaryError):
    """A change of state that the table does not hold: a bug of ours, and nothing was written."""


class IncidentState(StrEnum):
    """Where an incident stands."""

    AWAITING_APPROVAL = "awaiting_approval"
    ACTING = "acting"
    VERIFYING = "verifying"
    RESOLVED = "resolved"
    INEFFECTIVE = "ineffective"
    STUCK = "stuck"
    FAILED = "failed"
    ABANDONED = "abandoned"


class ActionState(StrEnum):
    """Where an action stands. `unknown`: it may or may not have happened, and cannot be looked up."""

    PLANNED = "planned"
    DISPATCHED = "dispatched"
    CONFIRMED = "confirmed"
    CONFLICT = "conflict"
    FAILED = "failed"
    UNKNOWN = "unknown"


class ReleaseState(StrEnum):
    """Where a release stands. `hold` keeps the weights; `soak` has all traffic, with the old version kept warm."""

    STAGED = "staged"
    STEP = "step"
    HOLD = "hold"
    SOAK = "soak"
    PROVEN = "proven"
    ROLLING_BACK = "rolling_back"
    VERIFYING = "verifying"
    ROLLED_BACK = "rolled_back"
    INEFFECTIVE = "ineffective"
    STUCK = "stuck"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Move:
    """One row of a table: from `source`, when this happens, to `to`."""

    source: str
    event: str
    to: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A table of moves, with a name for messages."""

    name: str
    moves: tuple[Move, ...]

    def check(self, source: str, to: str) -> None:
        """Raise IllegalMoveError unless the table holds a move between the two."""
        if not self.allows(source, to):
            raise IllegalMoveError(f"{self.name}: no move from {source or 'nothing'} to {to}", hint="please report it")

    def allows(self, source: str, to: str) -> bool:
        """Whether the table holds a move between the two."""
        return any(move.source == source and move.to == to for move in self.moves)

    def open_states(self) -> frozenset[str]:
        """States that have an exit."""
        return frozenset(move.source for move in self.moves if move.source != NEW)

    def final_states(self) -> frozenset[str]:
        """States without an exit."""
        return frozenset(move.to for move in self.moves) - self.open_states()

    def reaches(self, source: str) -> frozenset[str]:
        """Every state that can follow, in any number of moves."""
        found: set[str] = set()
        border = [source]
        while border:
            here = border.pop()
            nexts = {move.to for move in self.moves if move.source == here} - found
            found |= nexts
            border += nexts
        return frozenset(found)

    def picture(self) -> str:
        """The table as a Mermaid state diagram."""
        lines = ["stateDiagram-v2"]
        lines += [f"    {move.source or '[*]'} --> {move.to}: {move.event}" for move in self.moves]
        lines += [f"    {state} --> [*]" for state in sorted(self.final_states())]
        return "\n".join(lines)


def _table(name: str, rows: Mapping[str, Sequence[tuple[str, str]]]) -> Machine:
    return Machine(name, tuple(Move(source, event, to) for source, exits in rows.items() for event, to in exits))


_I, _A, _R = IncidentState, ActionState, ReleaseState

INCIDENT = _table(
    "incident",
    {
        NEW: [("decided", _I.ACTING), ("decided, a person must approve", _I.AWAITING_APPROVAL)],
        _I.AWAITING_APPROVAL: [
            ("approved", _I.ACTING),
            ("refused, expired or overtaken", _I.ABANDONED),
        ],
        _I.ACTING: [
            ("one stage of several done", _I.ACTING),
            ("read back as desired", _I.VERIFYING),
            ("refused, or another writer", _I.FAILED),
            ("unknown, or no capacity", _I.STUCK),
            ("frozen before the dispatch", _I.ABANDONED),
        ],
        _I.VERIFYING: [
            ("set again after another writer", _I.VERIFYING),
            ("proven by traffic", _I.RESOLVED),
            ("traffic moved, measure not back", _I.INEFFECTIVE),
            ("deadline, not proven", _I.STUCK),
        ],
    },
)

ACTION = _table(
    "action",
    {
        NEW: [("planned", _A.PLANNED)],
        _A.PLANNED: [("dispatched", _A.DISPATCHED), ("frozen, or cut off", _A.FAILED)],
        _A.DISPATCHED: [
            ("tried again", _A.DISPATCHED),
            ("read back as desired", _A.CONFIRMED),
            ("a third state found", _A.CONFLICT),
            ("refused, or no change", _A.FAILED),
            ("cannot be read back", _A.UNKNOWN),
        ],
    },
)

RELEASE = _table(
    "release",
    {
        NEW: [("submitted", _R.STAGED)],
        _R.STAGED: [
            ("precheck passed", _R.STEP),
            ("withdrawn, quarantined", _R.WITHDRAWN),
            ("rolled back by an incident", _R.ROLLING_BACK),
        ],
        _R.STEP: [
            ("evidence is enough", _R.STEP),
            ("not worse, last step", _R.SOAK),
            ("no evidence, frozen or source broken", _R.HOLD),
            ("worse, or a person", _R.ROLLING_BACK),
            ("withdrawn, and it has no traffic", _R.WITHDRAWN),
            ("another writer, or state unknown", _R.STUCK),
        ],
        _R.HOLD: [
            ("evidence again", _R.STEP),
            ("evidence again, at full traffic", _R.SOAK),
            ("worse, or a person", _R.ROLLING_BACK),
            ("withdrawn, and it has no traffic", _R.WITHDRAWN),
            ("another writer, or state unknown", _R.STUCK),
        ],
        _R.SOAK: [
            ("soak over, still healthy", _R.PROVEN),
            ("no evidence, frozen or source broken", _R.HOLD),
            ("worse, or a person", _R.ROLLING_BACK),
            ("another writer, or state unknown", _R.STUCK),
        ],
        _R.ROLLING_BACK: [
            ("read back as desired", _R.VERIFYING),
            ("conflict, deadline, no healthy destination", _R.STUCK),
            ("frozen before the dispatch", _R.HOLD),
        ],
        _R.VERIFYING: [
            ("proven by traffic", _R.ROLLED_BACK),
            ("traffic moved, measure not back", _R.INEFFECTIVE),
            ("deadline, not proven", _R.STUCK),
        ],
    },
)

MACHINES = (INCIDENT, ACTION, RELEASE)

OPEN_INCIDENTS = tuple(state for state in IncidentState if state in INCIDENT.open_states())
OPEN_RELEASES = tuple(state for state in ReleaseState if state in RELEASE.open_states())

RELEASE_OF_INCIDENT: Mapping[IncidentState, ReleaseState] = {
    _I.ACTING: _R.ROLLING_BACK,
    _I.VERIFYING: _R.VERIFYING,
    _I.RESOLVED: _R.ROLLED_BACK,
    _I.INEFFECTIVE: _R.INEFFECTIVE,
    _I.STUCK: _R.STUCK,
    _I.FAILED: _R.STUCK,
    _I.ABANDONED: _R.HOLD,
}
"""Where the release of a candidate goes with the incident against it."""
