"""When pages are made for those who read them: laws, on a clock of our own."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.exposition.readers import LONGEST_INTERVALS, Readers

INTERVAL = 5.0
POLL = 0.25


@dataclass
class Life:
    """An exporter that looks every POLL seconds and readers that come every so often, from `offset` on."""

    took: float = 0.0
    now: float = 1000.0
    pages: list[float] = field(default_factory=lambda: [1000.0])
    ages: dict[str, list[float]] = field(default_factory=dict)
    readers: Readers = field(init=False)

    def __post_init__(self) -> None:
        self.readers = Readers(INTERVAL, lambda: self.now)

    def run(self, seconds: float, coming: dict[str, tuple[float, float]]) -> None:
        """`coming`: gap and offset of each reader, from now on."""
        end, due = self.now + seconds, {who: self.now + offset for who, (_, offset) in coming.items()}
        while self.now < end:
            for who, at in due.items():
                if at <= self.now:
                    self.readers.came(who)
                    self.ages.setdefault(who, []).append(self.now - self.pages[-1])
                    due[who] = at + coming[who][0]
            if self.now >= self.readers.due(self.pages[-1], self.took):
                self.pages.append(self.now)
            self.now += POLL


def test_without_a_reader_a_page_is_due_every_interval() -> None:
    life = Life()
    life.run(60.0, {})
    assert [after - before for before, after in zip(life.pages, life.pages[1:], strict=False)] == [INTERVAL] * 11


def test_a_scraper_gets_one_page_for_each_scrape_made_a_second_before() -> None:
    life = Life()
    life.run(600.0, {"prometheus": (15.0, 3.0)})
    assert len(life.pages) == pytest.approx(600 / 15, abs=5)
    assert set(life.ages["prometheus"][3:]) == {1.0}


def test_two_scrapers_at_other_times_get_fresh_pages_both() -> None:
    life = Life()
    life.run(600.0, {"one": (15.0, 3.0), "other": (15.0, 10.0)})
    assert max(age for ages in life.ages.values() for age in ages[3:]) <= INTERVAL
    assert len(life.pages) == pytest.approx(2 * 600 / 15, abs=8)


def test_two_scrapers_that_come_together_share_a_page() -> None:
    life = Life()
    life.run(600.0, {"one": (15.0, 3.0), "other": (15.0, 5.0)})
    assert max(age for ages in life.ages.values() for age in ages[3:]) <= INTERVAL
    assert len(life.pages) == pytest.approx(600 / 15, abs=8)


def test_somebody_who_came_once_finds_a_page_of_the_last_interval() -> None:
    life = Life()
    life.run(300.0, {"prometheus": (30.0, 3.0)})
    made = len(life.pages)
    life.run(60.0, {"curl": (1e9, 0.0)})
    assert len(life.pages) - made >= 60 / INTERVAL - 1


def test_a_scraper_that_is_gone_is_not_waited_for() -> None:
    life = Life()
    life.run(300.0, {"prometheus": (15.0, 0.0)})
    life.run(60.0, {})
    made = len(life.pages)
    life.run(100.0, {})
    assert len(life.pages) - made == 100 / INTERVAL


def test_a_failed_scrape_does_not_age_those_that_follow() -> None:
    life = Life()
    life.run(300.0, {"prometheus": (15.0, 0.0)})
    life.run(15.0, {})
    before = len(life.ages["prometheus"])
    life.run(300.0, {"prometheus": (15.0, 0.0)})
    assert max(life.ages["prometheus"][before:]) <= INTERVAL


def test_a_page_that_takes_long_is_begun_earlier() -> None:
    life = Life(took=1.0)
    life.run(300.0, {"prometheus": (15.0, 3.0)})
    assert set(life.ages["prometheus"][3:]) == {3.0}


@given(
    st.dictionaries(
        st.sampled_from("abcde"), st.tuples(st.floats(0.25, 200.0), st.floats(0.0, 60.0)), min_size=1, max_size=5
    ),
    st.floats(0.0, 30.0),
)
def test_whoever_comes_pages_are_neither_hurried_nor_forgotten(
    coming: dict[str, tuple[float, float]], took: float
) -> None:
    life = Life(took=took)
    life.run(400.0, coming)
    between = [after - before for before, after in zip(life.pages, life.pages[1:], strict=False)]
    assert min(between) >= 0.8 * INTERVAL - 1e-9
    assert max(between) <= LONGEST_INTERVALS * INTERVAL + POLL


def test_strangers_beyond_measure_are_forgotten() -> None:
    life = Life()
    life.run(300.0, {"prometheus": (15.0, 0.0)})
    for stranger in range(1000):
        life.readers.came(stranger)
    assert life.readers.due(life.now, 0.0) == life.now + INTERVAL
