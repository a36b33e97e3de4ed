"""A page of which most was kept from the page before is the page that would have been made anew, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from measure_inputs import feed, plans_of
from mlcanary.exposition.families import families
from mlcanary.exposition.pages import PageMaker, Rendered
from mlcanary.exposition.text import TextRenderer
from mlcanary.measures.contract import Measure
from mlcanary.measures.registry import MEASURES
from mlcanary.monitor.figures import Figures
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Prediction, Record, Sample, Shown
from monitored_traffic import START, plan, traffic

OTHERS = [Sample("mlcanary_series", "", (), 7.0)]


def anew(monitor: Monitor, now: float) -> tuple[bytes, bytes]:
    """The page by the plain way, without anything kept."""
    return TextRenderer().render(families([*monitor.samples(now), *OTHERS]))


def made(pages: PageMaker, monitor: Monitor, now: float) -> tuple[bytes, bytes]:
    """The page by way of what was kept."""
    pages.take(monitor.figures(now))
    page = pages.page(OTHERS)
    return b"".join(page.text), b"".join(page.openmetrics)


def shuffled_traffic() -> Iterator[tuple[float, list[Record]]]:
    """Times of pages with what is read before each: bursts, pauses, single labels, nothing."""
    chance, records, at = random.Random(5), traffic(900), 0
    now = START
    for _ in range(24):
        size = chance.choice([0, 0, 0, 1, 3, 40])
        batch, at = records[at : at + size], at + size
        now += chance.choice([5.0, 5.0, 20.0, 400.0])
        yield now, batch


def test_what_was_kept_is_what_would_be_made() -> None:
    monitor, other, pages = Monitor(plan(sample=300), START), Monitor(plan(sample=300), START), PageMaker()
    kept = 0
    for now, batch in shuffled_traffic():
        for fed in (monitor, other):
            fed.feed(batch, now)
            fed.advance(now, now)
        before = dict(pages._groups)
        assert made(pages, monitor, now) == anew(other, now)
        kept += sum(before.get(place) is group for place, group in pages._groups.items())
    assert kept > 24 * 20  # or nothing was tested


def test_a_page_follows_the_plan_and_what_is_left_out() -> None:
    monitor, other, pages = Monitor(plan(), START), Monitor(plan(), START), PageMaker()
    for fed in (monitor, other):
        fed.feed(traffic(200), START + 700)
    steps: list[Callable[[Monitor], object]] = [
        lambda m: None,
        lambda m: m.leave_out({"feature_gauges"}, {("churn", "balance")}),
        lambda m: m.leave_out({"estimates"}, ()),
        lambda m: m.leave_out((), ()),
        lambda m: m.replan(_changed(m.plan), START + 705),
    ]
    seen = set()
    for i, step in enumerate(steps):
        for fed in (monitor, other):
            step(fed)
        now = START + 700 + 5 * i
        page = made(pages, monitor, now)
        assert page == anew(other, now)
        seen.add(page)
    assert len(seen) == len(steps)


def _changed(of: MonitorPlan) -> MonitorPlan:
    models = {
        name: replace(model, objectives={"accuracy_drop": 0.0123}, threshold=0.7) for name, model in of.models.items()
    }
    return replace(of, models=models)


def test_only_what_changed_is_made_again() -> None:
    monitor, pages = Monitor(plan(), START), PageMaker()
    monitor.feed(traffic(400), START + 1)
    asked: list[str] = []

    def watched(now: float) -> Iterator[Figures]:
        for figures in monitor.figures(now):
            yield figures._replace(make=_noting(figures, asked))

    pages.take(watched(START + 5))
    first, asked[:] = len(asked), []
    pages.take(watched(START + 10))
    idle = set(asked)
    assert "FeatureMeasure" not in idle
    assert len(asked) < first / 2
    monitor.feed([Prediction(r.key, START + 11, "new") for r in traffic(1) if isinstance(r, Prediction)], START + 11)
    asked.clear()
    pages.take(watched(START + 15))
    assert {"FeatureMeasure", "TrafficMeasure"} <= set(asked)


def _noting(figures: Figures, asked: list[str]) -> Callable[[], Iterator[Shown]]:
    def make() -> Iterator[Shown]:
        asked.append(figures.place[-1])
        yield from figures.make()

    return make


@pytest.mark.parametrize("kind", MEASURES, ids=lambda kind: kind.__name__)
def test_gauges_depend_on_the_length_of_the_window_only_where_the_measure_says_so(kind: type[Measure]) -> None:
    for of in plans_of(kind):
        measure = feed(kind(of), 400)
        same = list(measure.gauges(60.0)) == list(measure.gauges(3600.0))
        assert same or kind.timed
        assert list(measure.facts(100.0)) == list(measure.facts(200.0)) or measure.sketches


def test_the_marked_families_come_with_the_page_and_all_chunks_are_shared() -> None:
    monitor, pages = Monitor(plan(), START), PageMaker({"mlcanary_model_info"})
    monitor.feed(traffic(100), START + 1)
    pages.take(monitor.figures(START + 5))
    page: Rendered = pages.page(OTHERS, before=b"first\n", after=b"last\n")
    assert [(f.spec.name, len(f.samples)) for f in page.families] == [("mlcanary_model_info", 2)]
    assert page.openmetrics[0] == b"first\n"
    assert page.text[-1] == b"last\n"
    shared = {id(chunk) for chunk in page.text} & {id(chunk) for chunk in page.openmetrics}
    assert sum(len(chunk) for chunk in page.text if id(chunk) in shared) > 0.7 * sum(map(len, page.text))
    assert page.series == len(list(monitor.samples(START + 5))) + len(OTHERS)
