"""When traffic proves an effect, and everything that must not count as proof."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcanary.handler.core.verification import Progress, Reading, Reference, Verdict, advance, recovered
from mlcanary.handler.intake.payload import Measure
from mlcanary.handler.settings import EvidenceLimits, Verification

PLAN = Verification(window=30.0, windows=2, max_share=0.005, min_predictions=100, tolerance=10.0, min_labels=50)
EFFECT = 1000.0
REFERENCE = Reference(0.9, 0.005)


def series(version: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return version, tuple(sorted({"version": version, **labels}.items()))


def reading(at: float, good: float, bad: float | None, **changes: object) -> Reading:
    """Counters at a time; of every ten labels nine are right."""
    predictions = {series("v1"): good}
    if bad is not None:
        predictions[series("v2")] = bad
    labeled = {
        series("v1", actual="1", predicted="1"): good * 0.9,
        series("v1", actual="1", predicted="0"): good * 0.1,
        series("v2", actual="1", predicted="0"): bad or 0.0,
    }
    base = Reading(at, at, True, True, predictions, {}, labeled, {}, last_bad=EFFECT - 1.0)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def run(readings: Sequence[Reading], plan: Verification = PLAN, reference: Reference | None = REFERENCE) -> Progress:
    progress = Progress(effect=EFFECT)
    for one in readings:
        progress = advance(progress, one, plan, bad="v2", measure=Measure.ACCURACY, reference=reference)
    return progress


PROOF = [reading(1000.0, 5000, 900), reading(1030.0, 6000, 900), reading(1060.0, 7000, 900)]


def test_two_clean_windows_with_traffic_and_a_measure_that_is_back_are_proof() -> None:
    assert run(PROOF).verdict is Verdict.PROVEN
    assert run(PROOF[:2]).verdict is Verdict.UNPROVEN


def test_a_few_stragglers_are_within_the_share() -> None:
    assert run([PROOF[0], reading(1030.0, 6000, 904), reading(1060.0, 7000, 905)]).verdict is Verdict.PROVEN


def test_a_bad_window_starts_the_count_anew() -> None:
    leaky = [PROOF[0], reading(1030.0, 6000, 910), reading(1060.0, 7000, 910)]
    assert run(leaky).verdict is Verdict.UNPROVEN
    assert run([*leaky, reading(1090.0, 8000, 910)]).verdict is Verdict.PROVEN


def test_no_traffic_proves_nothing_however_long() -> None:
    assert run([reading(1000.0 + 30 * i, 5000, 900) for i in range(50)]).verdict is Verdict.UNPROVEN


def test_a_little_traffic_makes_the_window_longer() -> None:
    slow = [reading(1000.0 + 30 * i, 5000 + 60 * i, 900) for i in range(5)]
    assert [run(slow[: i + 1]).passed for i in range(5)] == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    "broken",
    [
        reading(1030.0, 6000, 900, up=False),
        reading(1030.0, 6000, None),
        reading(1030.0, 100, 900),
        reading(1030.0, 6000, 5),
    ],
    ids=["source down", "bad version out of sight", "good counter reset", "bad counter reset"],
)
def test_a_window_with_a_broken_reading_is_thrown_away(broken: Reading) -> None:
    after = [reading(1060.0, 7000, 900), reading(1090.0, 8000, 900), reading(1120.0, 9000, 900)]
    assert run([PROOF[0], broken]).passed == 0
    assert run([PROOF[0], broken, after[0]]).verdict is Verdict.UNPROVEN
    assert run([PROOF[0], broken, *after]).verdict is Verdict.PROVEN


def test_a_stale_reading_neither_proves_nor_throws_away() -> None:
    stale = reading(1030.0, 6000, 900, fresh=False)
    assert run([stale, PROOF[1]]).passed == 0
    assert run([PROOF[0], stale]).passed == 0
    assert run([PROOF[0], stale, PROOF[2]]).passed == 1
    assert run([PROOF[0], stale, reading(1060.0, 7000, 5)]).passed == 0
    assert run([PROOF[0], stale, reading(1060.0, 7000, 950)]).passed == 0


def test_a_sample_older_than_the_effect_opens_no_window() -> None:
    old = reading(1005.0, 5000, 900, sampled=999.0)
    assert run([old]).start is None
    assert run([old, PROOF[1], PROOF[2]]).passed == 1


def test_every_series_must_have_grown_for_the_whole_window() -> None:
    opened = reading(1031.0, 5000, 900, sampled=1000.0)
    repeated = reading(1061.0, 6000, 900, sampled=1030.0)  # one instance was scraped, the other not yet
    assert run([opened, repeated]).passed == 0
    assert run([opened, repeated, reading(1062.0, 6000, 900, sampled=1061.0)]).passed == 1


def scraped(every: float, phases: Sequence[float], leak: float = 0.0) -> Progress:
    """What the handler finds with the default plan: instances scraped out of step, looks as the worker has them."""
    plan, progress, at = Verification(), Progress(effect=EFFECT), EFFECT
    while at - EFFECT <= plan.deadline and progress.verdict is not Verdict.PROVEN:
        times = [phase + every * ((at - phase) // every) for phase in phases]
        predictions = {series("v1", i=str(i)): 10 * t for i, t in enumerate(times)}
        predictions |= {series("v2", i=str(i)): min(t, EFFECT) + leak * t for i, t in enumerate(times)}
        fresh = at - min(times) <= EvidenceLimits().max_age
        one = Reading(at, min(times), True, fresh, predictions, {}, {}, {}, EFFECT - 1.0)
        progress = advance(progress, one, plan, bad="v2", measure=Measure.ACCURACY, reference=None)
        at += plan.window / 4
    return dataclasses.replace(progress, note=f"{at - EFFECT:g}")


@pytest.mark.parametrize(("every", "within"), [(1.0, 90.0), (15.0, 120.0), (60.0, 270.0), (90.0, 390.0)])
@pytest.mark.parametrize("phases", [(1000.0,), (999.0,), (1001.0,), (970.0, 1010.0, 995.0)])
def test_the_default_plan_proves_in_time_at_every_usual_scrape_interval(
    every: float, within: float, phases: tuple[float, ...]
) -> None:
    proven = scraped(every, phases)
    assert proven.verdict is Verdict.PROVEN
    assert float(proven.note) <= within
    assert scraped(every, phases, leak=1.0).verdict is Verdict.UNPROVEN


def test_readings_from_before_the_effect_do_not_count() -> None:
    assert run([reading(900.0, 1000, 900), reading(950.0, 3000, 900), *PROOF[:2]]).verdict is Verdict.UNPROVEN


@pytest.mark.parametrize("last_bad", [None, EFFECT + 10.1, EFFECT + 55.0])
def test_a_late_or_unknown_last_prediction_of_the_bad_version_is_no_proof(last_bad: float | None) -> None:
    late = [dataclasses.replace(one, last_bad=last_bad) for one in PROOF]
    assert run(late).verdict is Verdict.UNPROVEN
    assert "newest prediction of v2" in run(late).note


def test_traffic_that_moved_to_something_as_bad_is_not_proven() -> None:
    assert run(PROOF, reference=Reference(0.98, 0.001)).verdict is Verdict.MOVED


def test_without_labels_the_traffic_is_enough_unless_the_measure_is_required() -> None:
    assert run(PROOF, dataclasses.replace(PLAN, min_labels=10**6)).verdict is Verdict.PROVEN
    required = dataclasses.replace(PLAN, min_labels=10**6, measure="required")
    assert run(PROOF, required).verdict is Verdict.MOVED
    assert run(PROOF, dataclasses.replace(PLAN, measure="required"), reference=None).verdict is Verdict.MOVED


def test_a_new_series_counts_against_the_bad_version_and_not_for_the_good_one() -> None:
    grown = [reading(1000.0, 5000, 900), reading(1030.0, 6000, 900), reading(1060.0, 7000, 900)]
    extra_bad = {**grown[1].predictions, series("v2", instance="b"): 50.0}
    assert run([grown[0], dataclasses.replace(grown[1], predictions=extra_bad)]).passed == 0
    only_new = {series("v1"): 5000.0, series("v2"): 900.0, series("v1", instance="b"): 9999.0}
    assert run([grown[0], dataclasses.replace(grown[1], predictions=only_new)]).passed == 0


def test_log_loss_and_errors_are_judged_against_the_baseline() -> None:
    def losses(n: float, mean: float) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        parts = {"count": n, "sum": n * mean, "squares": n * (mean**2 + 0.04)}
        return {series("v1", part=name): value for name, value in parts.items()}

    def judged(measure: Measure, last: Reading, reference: Reference) -> str:
        return recovered(PROOF[0], last, PLAN, bad="v2", measure=measure, reference=reference)

    first, same, worse = losses(0, 0.0), losses(1000, 0.30), losses(1000, 0.45)
    start = dataclasses.replace(PROOF[0], losses=first)
    assert recovered(
        start, dataclasses.replace(PROOF[1], losses=same), PLAN,
        bad="v2", measure=Measure.AUC, reference=Reference(0.3, 0.01),
    ) == "recovered"  # fmt: skip
    assert recovered(
        start, dataclasses.replace(PROOF[1], losses=worse), PLAN,
        bad="v2", measure=Measure.LOG_LOSS, reference=Reference(0.3, 0.01),
    ) == "worse"  # fmt: skip
    failing = dataclasses.replace(PROOF[1], failures={series("v1", reason="500"): 100.0})
    assert judged(Measure.ERRORS, PROOF[1], Reference(0.001, 0.001)) == "recovered"
    assert judged(Measure.ERRORS, failing, Reference(0.001, 0.001)) == "worse"


@given(
    st.lists(st.tuples(st.floats(1, 60), st.floats(0, 5000), st.floats(0, 500), st.booleans()), min_size=1, max_size=30)
)
def test_whatever_comes_proof_needs_two_clean_windows_of_real_traffic(
    steps: list[tuple[float, float, float, bool]],
) -> None:
    progress, at, good, bad = Progress(effect=EFFECT), EFFECT, 0.0, 0.0
    for wait, more_good, more_bad, leaks in steps:
        at, good, bad = at + wait, good + more_good, bad + (more_bad if leaks else 0.0)
        progress = advance(
            progress, reading(at, good, bad), PLAN, bad="v2", measure=Measure.ACCURACY, reference=REFERENCE
        )
        if progress.verdict is Verdict.PROVEN:
            assert at - EFFECT >= 2 * PLAN.window
            assert good >= 2 * PLAN.min_predictions
