"""How long the join of a model waits and remembers."""

from __future__ import annotations

from typing import NamedTuple


class JoinPolicy(NamedTuple):
    """`maturity` and `label_ttl`, seconds of event time, of one model."""

    maturity: float = 0.0
    label_ttl: float = 86400.0

    @property
    def wait(self) -> float:
        """Seconds after which a prediction without a label counts as unlabelled."""
        return self.maturity or self.label_ttl

    @property
    def memory(self) -> float:
        """Seconds for which a prediction's id is remembered."""
        return max(self.maturity, self.label_ttl)
