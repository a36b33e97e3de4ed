"""AUC from merged counters is right to a thousandth where positives are not rare, and inside its bound everywhere.

The full run over 1,000 streams is `tests/bench/auc_accuracy.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from scored_streams import quantile_bins, read, shipped_bins, stream

STREAMS = 60


@pytest.mark.parametrize(
    ("base_rate", "quantiles_within", "shipped_within", "fine_within"),
    [(0.001, 0.45, 0.7, 0.98), (0.01, 0.6, 1.0, 1.0), (0.2, 1.0, 1.0, 1.0)],
)
def test_auc_from_counters_of_seven_replicas(
    base_rate: float, quantiles_within: float, shipped_within: float, fine_within: float
) -> None:
    rng = np.random.default_rng(20_261_125)
    reference = stream(rng, base_rate).score
    edges = [quantile_bins(reference, 50), shipped_bins(reference, 50), shipped_bins(reference, 200)]
    near, means = np.zeros(3), []
    for _ in range(STREAMS):
        found = stream(rng, base_rate)
        readings = [read(found, cuts) for cuts in edges]
        assert all(reading.error <= reading.bound + 1e-12 for reading in readings)
        near += [reading.error <= 1e-3 for reading in readings]
        means.append(abs(readings[1].mean_of_replicas - readings[1].exact))
    assert (near / STREAMS >= [quantiles_within, shipped_within, fine_within]).all(), near
    assert max(means) > 10e-3, "a mean of the replicas' own AUCs is another figure"
