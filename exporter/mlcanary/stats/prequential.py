"""A discriminator that learns while it is tested: each row is scored by what was fitted on rows before it.

Guarantee: no row and no row of half B has a part in the discriminator that scores it, so without drift the mean
placement is 1/2 however many terms are fitted. The state is a function of the rows in their order, whatever the
batches; it holds sums, never rows. Input: rank scores and missing indicators. Cost: see `discriminator.py`, a fit
per `BLOCK` rows; the state is 16 p + 40 bytes. Error: the first block only trains; the past fades by `FADING` per
block, so that a drift which begins late shows within about 2,000 rows. Source: prequential (test, then train)
evaluation, Dawid (1984); classifier two-sample test, Lopez-Paz and Oquab (2017).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlcanary.stats.accumulator import Floats
from mlcanary.stats.discriminator import Fit, Halves

BLOCK = 100
FADING = 15.0 / 16.0


class Tested(NamedTuple):
    """Placements of the rows that were scored, and what each feature added to the sum of their scores."""

    placements: Floats
    shifts: Floats


class Prequential:
    """Sums of the past and of the block that is filling."""

    def __init__(self, halves: Halves, identity: str) -> None:
        """`identity`: a hash of the sample and its scores; a dump over another one is of no use."""
        self.halves = halves
        self._identity = identity
        self._past, self._weight = np.zeros(halves.terms.size), 0.0
        self._block, self._filled = np.zeros(halves.terms.size), 0
        self._fit: Fit | None = None

    def take(self, scores: Floats, missing: Floats) -> Tested:
        """Score rows, shape (n, F), then learn from them."""
        placements, shifts = [np.empty(0)], np.zeros(self.halves.terms.features)
        start = 0
        while start < len(scores):
            stop = min(len(scores), start + BLOCK - self._filled)
            part = scores[start:stop], missing[start:stop]
            sums = self.halves.terms.sums(*part)
            fit = self._current()
            if fit is not None:
                placements.append(fit.placements(*part))
                shifts += fit.shifts(sums, float(stop - start))
            self._block += sums
            self._filled += stop - start
            if self._filled == BLOCK:
                self._turn()
            start = stop
        return Tested(np.concatenate(placements), shifts)

    def dump(self) -> Any:
        """A form that msgpack can carry; `load` restores it bit for bit."""
        return [self._identity, self._past.tobytes(), self._weight, self._block.tobytes(), self._filled]

    def load(self, dumped: Any) -> None:
        """Go on where a dump ended; one that was made over another sample is left, and training begins anew."""
        identity, past, weight, block, filled = dumped
        if identity != self._identity:
            return
        self._past, self._weight = np.frombuffer(past).copy(), float(weight)
        self._block, self._filled = np.frombuffer(block).copy(), int(filled)
        self._fit = None

    def _current(self) -> Fit | None:
        """The discriminator of the past, fitted when it is first needed; None in the first block."""
        if self._fit is None and self._weight > 0:
            self._fit = self.halves.fit(self._past / self._weight)
        return self._fit

    def _turn(self) -> None:
        self._past = FADING * self._past + self._block
        self._weight = FADING * self._weight + self._filled
        self._block, self._filled = np.zeros_like(self._block), 0
        self._fit = None
