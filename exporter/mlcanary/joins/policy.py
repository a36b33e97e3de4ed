"""How long the join of a model waits and remembers."""

from __future__ import annotations

from typing import NamedTuple


class JoinPolicy(NamedTuple):
    """`maturity` and `label_ttl`, seconds of event time, of one model.

    `unlabeled`: the class that a prediction without a label counts as once `maturity` (above 0) has passed; None: no
    class, it is unlabelled.
    """

    maturity: float = 0.0
    label_ttl: float = 86400.0
    unlabeled: str | None = None

    @property
    def wait(self) -> float:
        """Seconds after which a prediction without a label counts as unlabelled."""
        return self.maturity or self.label_ttl

    @property
    def memory(self) -> float:
        """Seconds for which a prediction's id is remembered."""
        return max(self.maturity, self.label_ttl)
