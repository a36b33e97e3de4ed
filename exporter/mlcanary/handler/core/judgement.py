"""What Prometheus tells of a candidate, as far as a release asks. Pure; read by `evidence.judgement`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Word(StrEnum):
    """The judge's word on a version. What is stale, absent, ambiguous or no number is never more than no_data."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judge's word, and whether the ground that it stands on is sound.

    `known`: a judge that leads has read Prometheus lately and speaks of the version; without it the word is no_data,
    `why` says what is missing, and the figures of the judge are 0. `trials`: most observations of the candidate judged
    by any measure; `judged`: up to when, Unix seconds; `eta`: seconds to a decision, None if unknown. `gates` suspend
    decisions. `roles` are pairs of version and role, `serving` the versions that predicted lately, `firing` the
    measures of the candidate's alerts that ask for a rollback.
    """

    word: Word
    why: str
    known: bool
    may_expand: bool
    trials: float
    judged: float
    eta: float | None
    gates: tuple[str, ...]
    sources_up: bool
    roles: tuple[tuple[str, str], ...]
    serving: frozenset[str]
    firing: tuple[str, ...]

    def facts(self) -> dict[str, object]:
        """For the audit and for people."""
        return {
            "word": self.word,
            "why": self.why,
            "may_expand": self.may_expand,
            "trials": self.trials,
            "judged": self.judged,
            "gates": list(self.gates),
            "roles": dict(self.roles),
            "serving": sorted(self.serving),
            "firing": list(self.firing),
        }
