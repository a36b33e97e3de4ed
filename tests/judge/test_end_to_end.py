"""Traffic, exporters' pages, Prometheus, judge: whole releases behind a real Prometheus, in the small form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from scipy.special import ndtri

from judge_arms import Arm, counts
from live_releases import VERSIONS, Sidecars
from mlcanary.catalog import BY_NAME, Kind
from mlcanary.judge.intake import reading as read
from mlcanary.judge.sentences import spelled
from sim.end_to_end import FAULTS, HEALTHY, LED_BY, Ended, Form, planted, run
from sim.fixed_sizes import auc, of_auc, of_log_loss, of_shift, of_two_shares

SMALL = Form(healthy=4, each=1, steps=28, fault=(6, 9), rate=30.0, scrape=1, limit=240.0)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """The small experiment."""
    return run(SMALL, tmp_path_factory.mktemp("releases"))


def test_no_healthy_release_is_rolled_back(ended: Ended) -> None:
    assert len(ended.of(HEALTHY)) == 4
    assert ended.false.held


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_and_named(ended: Ended, fault: str) -> None:
    (found,) = ended.of(fault)
    assert found.found, f"{found.verdict}: {found.text}"
    assert found.leading in LED_BY[fault], found.text
    assert spelled(found.leading).lower() in found.text.lower()
    assert 0 < found.fault_rows < found.rows


def test_prometheus_has_the_same_rollbacks_as_the_api(ended: Ended) -> None:
    assert ended.series == {each.live.model for each in ended.releases if each.rolled_back}


def test_the_pages_have_names_and_labels_of_the_catalogue() -> None:
    releases = list(planted(SMALL))[:2]
    sidecars = Sidecars([each.live for each in releases], 10)
    for _ in range(4):
        for version in VERSIONS:
            sidecars.go_on(version)
    for version in VERSIONS:
        shown = set()
        for family in text_string_to_metric_families(sidecars.fetched(version).decode()):
            spec = BY_NAME[family.name + "_total" * (family.type == "counter")]
            for sample in family.samples:
                own = set(sample.labels) - ({"le"} if spec.kind is Kind.HISTOGRAM else set())
                assert own == set(spec.labels)
                shown.add(sample.name)
        assert {read.INFO, read.UP, read.EDGES, read.EVENT, read.MATURITY} <= shown
        counted = {name for name in shown if name in read.COUNTERS}
        assert {read.PREDICTIONS, read.LATENCY, read.CONFUSION, read.SCORES, read.MATURE, read.BINS} <= counted


def test_pages_go_on_with_their_scrapes_and_no_further() -> None:
    (release,) = list(planted(SMALL))[:1]
    sidecars = Sidecars([release.live], 5)
    pages = []
    for _ in range(8):
        pages.append(sidecars.fetched("v1"))
        sidecars.go_on("v1")
    assert len(set(pages)) == 5
    assert sidecars.steps == {"v1": 5, "v2": 1}
    assert b'version="v2"' not in sidecars.fetched("v2")
    sidecars.retire(release.live.model)


def test_fixed_sizes_are_those_of_the_textbook() -> None:
    """At 5 %: figures of the two-proportion test, of DeLong at a base rate of 20 %, and of Kolmogorov-Smirnov."""
    assert of_two_shares(0.10, 0.12, 0.05) == pytest.approx(3023, rel=0.001)
    usual, worse = (Arm(separation=math.sqrt(2) * ndtri(area), labelled=1.0) for area in (0.80, 0.76))
    assert (auc(usual), auc(worse)) == pytest.approx((0.80, 0.76))
    assert of_auc(worse, usual, 0.05) == pytest.approx(2482, rel=0.01)
    assert of_shift(0.2, 0.05, 1000, np.random.default_rng(1)) == pytest.approx(536, rel=0.1)


def test_a_log_loss_that_is_too_sure_is_as_drawn() -> None:
    """The moments behind the fixed size against a sample of the same models of traffic."""
    totals = [counts(np.random.default_rng(1), Arm(sharpness=sure), 200_000)["log_loss"] for sure in (1.0, 1.75)]
    means = [total / n for n, total, _ in totals]
    variances = [squares / n - (total / n) ** 2 for n, total, squares in totals]
    drawn = (2.878 + 0.842) ** 2 * sum(variances) / (means[1] - means[0]) ** 2 / 0.95
    assert of_log_loss(Arm(sharpness=1.75), Arm(), 0.002) == pytest.approx(drawn, rel=0.2)
