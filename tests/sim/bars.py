"""How a simulation is judged: by a binomial test against the promised rate, never by a rate read off by eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

SEED = 20_240_601
"""Of every simulation of the judge."""

REJECTED_AT = 0.01
"""A promised rate counts as broken if so many or more failures had at most this chance under it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `runs` runs did something whose chance was promised to be at most `promised`."""

    stream: str
    count: int
    runs: int
    promised: float

    @property
    def share(self) -> float:
        """Share of the runs."""
        return self.count / self.runs

    @property
    def held(self) -> bool:
        """Whether the runs are compatible with the promise (one-sided binomial test at 1 %)."""
        return float(binomtest(self.count, self.runs, self.promised, alternative="greater").pvalue) > REJECTED_AT


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
