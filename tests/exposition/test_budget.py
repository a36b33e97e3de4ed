"""The page stays under its number of series: what is left out, in which order, and that it stays out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mlcanary.catalog import BY_NAME, PREDICTION_FEATURE
from mlcanary.exposition.budget import ORDER, SeriesBudget, class_of
from mlcanary.measures.registry import MEASURES
from mlcanary.records import Sample

FEATURES = ("age", "plan", "balance", "rarely_used", PREDICTION_FEATURE)


def page(bins: int = 20, segments: int = 30) -> list[Sample]:
    """Quality, features and segments of one version."""
    of = ("m", "v")
    made = [Sample("mlcanary_labeled_predictions_total", "", (*of, a, p), 1.0) for a in "01" for p in "01"]
    for feature in FEATURES:
        made += [Sample("mlcanary_feature_bin_total", "", (*of, feature, str(i)), 1.0) for i in range(bins)]
        made += [Sample("mlcanary_feature_reference_ratio", "", ("m", feature, str(i)), 1.0) for i in range(bins)]
        made.append(Sample("mlcanary_window_feature_missing_ratio", "", (*of, "5m", feature), 0.1))
    made += [
        Sample("mlcanary_segment_predictions_total", "", (*of, "country", str(i), "1"), 1.0) for i in range(segments)
    ]
    return made


def names(samples: Sequence[Sample]) -> set[str]:
    """Families on a page."""
    return {sample.name for sample in samples}


def fitted(limit: int, samples: Sequence[Sample]) -> tuple[Sequence[Sample], SeriesBudget]:
    """What stays of a page, and the budget that decided."""
    budget = SeriesBudget(limit)
    return budget.fit(samples), budget


def test_a_page_under_its_budget_is_left_alone() -> None:
    samples = page()
    kept, budget = fitted(len(samples), samples)
    assert kept is samples
    assert budget.dropped == {}


def test_segments_go_first_and_whole() -> None:
    samples = page()
    kept, budget = fitted(len(samples) - 1, samples)
    assert budget.dropped == {"segments": 30}
    assert len(kept) == len(samples) - 30
    assert "mlcanary_segment_predictions_total" not in names(kept)


def test_gauges_of_features_go_before_features_and_these_from_the_last_of_the_profile_upwards() -> None:
    samples = page()
    kept, budget = fitted(100, samples)
    assert budget.dropped == {"segments": 30, "feature_gauges": 5, "features": 3 * 40}
    assert budget.features == {("m", name) for name in ("plan", "balance", "rarely_used")}
    left = {sample.labels[2] for sample in kept if sample.name == "mlcanary_feature_bin_total"}
    assert left == {"age", PREDICTION_FEATURE}
    assert len(kept) <= 100


def test_no_feature_is_ever_shown_in_part() -> None:
    samples = page()
    for limit in range(10, len(samples), 7):
        kept, budget = fitted(limit, samples)
        bins = [sample.labels[2] for sample in kept if sample.name == "mlcanary_feature_bin_total"]
        assert all(bins.count(feature) == 20 for feature in set(bins))
        assert len(kept) + sum(budget.dropped.values()) == len(samples)
        assert sum("labeled_predictions" in sample.name for sample in kept) == 4


def test_what_is_out_stays_out_while_the_page_shrinks_and_grows() -> None:
    budget = SeriesBudget(200)
    first = names(budget.fit(page()))
    out = dict(budget.dropped)
    assert names(budget.fit(page(bins=1, segments=1))) == first
    assert names(budget.fit(page())) == first
    assert budget.dropped == out


@pytest.mark.parametrize("limit", [1, 3])
def test_quality_stays_whatever_the_budget(limit: int) -> None:
    kept, _ = fitted(limit, page())
    assert names(kept) >= {"mlcanary_labeled_predictions_total"}
    assert {s.labels[2] for s in kept if s.name == "mlcanary_feature_bin_total"} == {PREDICTION_FEATURE}


def test_every_class_of_the_order_has_families() -> None:
    assert {kind for kind in map(class_of, BY_NAME) if kind} <= set(ORDER)


def test_a_measure_that_is_left_out_as_a_whole_makes_nothing_else() -> None:
    for kind in MEASURES:
        if kind.budget:
            assert {class_of(family) for family in kind.families} - {""} == {kind.budget}, kind
