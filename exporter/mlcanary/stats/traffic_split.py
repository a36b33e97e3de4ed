"""Sample-ratio check: does the canary get the share of the traffic that was configured? Valid at every look.

Guarantee: while each request goes to the canary with the expected probability, exp(log_e) reaches 1 / alpha with
probability at most alpha, EVER. Exact for independent requests. Requests of one user go the same way, so counts are
divided by a design effect: approximate, the larger of how blocks of 1, 4, 16 and 64 steps vary and how users do.
Input: requests of both arms per step, see `SplitEvidence`. Cost: O(1) per step; 34 numbers and 128 of users.
Error: that of the design effect; before 20 blocks of a length are seen, dependence of that length is not known.
Source: Lindon and Malek, NeurIPS 2022, arXiv 2011.03567: Dirichlet mixture against a multinomial, here with the
concentrations 5, 50, 500 and 5,000; Kish 1965 for dividing by a design effect; Cochran 1977, 6.3 for that of users.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.special import betaln

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.design_effect import DesignEffect
from mlcanary.stats.evidence import log_sum_exp
from mlcanary.stats.user_buckets import BUCKETS, ENOUGH

CONCENTRATIONS = np.array([5.0, 50.0, 500.0, 5000.0])
_LENGTHS = np.array([1, 4, 16, 64])


@dataclass(slots=True)
class SplitEvidence:
    """Evidence that the canary's share is not `expected`, a share inside (0, 1).

    >>> evidence = SplitEvidence(0.05)
    >>> for _ in range(50):
    ...     evidence.update(80.0, 920.0)
    >>> bool(evidence.log_e() > np.log(1 / 0.001)), round(evidence.deviation, 6)
    (True, 0.6)
    """

    expected: float
    steps: int = 0
    totals: Floats = field(init=False)
    """Requests of canary and baseline."""
    open_blocks: Floats = field(init=False)
    """Requests of both arms in the block of each length that is not full yet; shape (4, 2)."""
    dependence: DesignEffect = field(init=False)
    users: Floats = field(init=False)
    """Requests by bucket of users, canary and baseline; shape (2, 64)."""

    def __post_init__(self) -> None:
        """Nothing seen yet. Raises ValueError if the expected share is not inside (0, 1)."""
        if not 0.0 < self.expected < 1.0:
            raise ValueError(f"need an expected share between 0 and 1, got {self.expected}")
        self.totals, self.open_blocks = np.zeros(2), np.zeros((_LENGTHS.size, 2))
        self.dependence = DesignEffect((_LENGTHS.size,))
        self.users = np.zeros((2, BUCKETS))

    def update(self, n_c: float, n_b: float, users_c: Floats | None = None, users_b: Floats | None = None) -> None:
        """Add one step. Input: requests of both arms; by bucket of users, shape (64,), where that is counted."""
        gained = np.array([n_c, n_b])
        self.totals, self.open_blocks = self.totals + gained, self.open_blocks + gained
        self.steps += 1
        if users_c is not None and users_b is not None:
            self.users = self.users + np.stack([users_c, users_b])
        full = self.steps % _LENGTHS == 0
        total = self.open_blocks.sum(axis=-1)
        spread = np.sqrt(np.maximum(total, 1.0) * self.expected * (1.0 - self.expected))
        z = (self.open_blocks[:, 0] - total * self.expected) / spread
        self.dependence.update(np.where(full & (total > 0), z, np.nan))
        self.open_blocks = np.where(full[:, None], 0.0, self.open_blocks)

    def log_e(self) -> float:
        """Log evidence that the share is another one; 0 before the first request."""
        n_c, n_b = (float(v) for v in self.totals / self.phi)
        a, b = CONCENTRATIONS * self.expected, CONCENTRATIONS * (1.0 - self.expected)
        likely = n_c * np.log(self.expected) + n_b * np.log1p(-self.expected)
        return float(log_sum_exp(betaln(a + n_c, b + n_b) - betaln(a, b) - likely - np.log(CONCENTRATIONS.size)))

    @property
    def share(self) -> float:
        """The canary's share so far; the expected one before the first request."""
        total = float(self.totals.sum())
        return float(self.totals[0]) / total if total > 0 else self.expected

    @property
    def deviation(self) -> float:
        """Relative difference of the share from the expected one, of the arm where it is larger in relation."""
        return abs(self.share - self.expected) / min(self.expected, 1.0 - self.expected)

    @property
    def phi(self) -> float:
        """Design effect by which counts are divided, at least 1."""
        return max(float(self.dependence.phi.max()), self._phi_of_users())

    def _phi_of_users(self) -> float:
        """Variance of the share over buckets of users against that of independent requests; 1 while unknown."""
        sizes = self.users.sum(axis=0)
        total = float(sizes.sum())
        if np.count_nonzero(sizes) < ENOUGH:
            return 1.0
        share = float(self.users[0].sum()) / total
        if not 0.0 < share < 1.0:
            return 1.0
        spread = float(((self.users[0] - share * sizes) ** 2).sum()) * BUCKETS / (BUCKETS - 1)
        return max(spread / (share * (1.0 - share) * total), 1.0)
