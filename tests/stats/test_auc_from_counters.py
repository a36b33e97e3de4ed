"""The small form of `tests/bench/auc_accuracy.py`: AUC from counters, and the mean of per-replica AUCs beside it."""

from __future__ import annotations

from auc_accuracy import table


def test_auc_from_counters_is_right_to_a_thousandth_and_inside_its_bound_at_every_base_rate() -> None:
    rows = table(25)
    assert {(rate, name) for rate, name, *_ in rows} == {
        (rate, name) for rate in (0.001, 0.01, 0.2) for name in ("50 quantiles", "shipped")
    }
    for rate, name, _, worst, outside, bound, naive in rows:
        assert worst < 0.001, (rate, name)
        assert outside == 0, (rate, name)
        assert bound < 0.01, (rate, name)
        assert naive > 0.015, "the mean of per-replica AUCs would do"
