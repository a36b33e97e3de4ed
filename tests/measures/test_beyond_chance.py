"""Features are listed by how far beyond chance they are, whatever is wrong with them; healthy ones are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlcanary.measures.beyond_chance import FIGURES, percent, times_chance, words
from mlcanary.measures.features import FeatureMeasure
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.records import ModelKey, Prediction

NAMES, SHARES = ("free", "pro", "team"), (0.5, 0.3, 0.2)


def columns(seed: int, rows: int) -> dict[str, list[Any]]:
    """A number, a name and an optional number, all healthy."""
    rng = np.random.default_rng(seed)
    optional = np.where(rng.random(rows) < 0.1, None, rng.normal(size=rows))  # type: ignore[call-overload]
    return {
        "x": rng.normal(size=rows).tolist(),
        "plan": rng.choice(NAMES, rows, p=SHARES).tolist(),
        "y": list(optional),
    }


PLAN = ModelPlan(reference=profile_columns(columns(1, 4000), ProfileOptions()))


def figures(live: dict[str, list[Any]]) -> dict[str, dict[str, float]]:
    """Figures of each feature over these rows."""
    measure = FeatureMeasure(PLAN)
    key = ModelKey("m", "v")
    rows = [dict(zip(live, row, strict=True)) for row in zip(*live.values(), strict=True)]
    measure.on_predictions([Prediction(key, float(i), None, row, "1") for i, row in enumerate(rows)])
    found: dict[str, dict[str, float]] = {}
    for name, _, labels, value in measure.gauges(60.0):
        figure = name.removeprefix("window_feature_").removeprefix("mlcanary_window_feature_")
        if figure in FIGURES:
            found.setdefault(labels[-1], {})[figure] = value
    return found


def test_healthy_rows_are_not_beyond_chance() -> None:
    for seed in range(2, 42):
        assert all(times_chance(found) < 1 for found in figures(columns(seed, 1000)).values())
        assert not any([*words(found)] for found in figures(columns(seed, 1000)).values())


FAULTS: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "unit": ("x", lambda v: v * 1000, r"^PSI [\d.]+ \(by chance 0\.0\d\d\)$"),
    "renamed": (
        "plan",
        lambda v: "Free" if v == "free" else v,
        r"^PSI [\d.]+ \(by chance [\d.]+\), \d+(\.\d)? % never seen",
    ),
    "text": ("x", str, r"^100 % of another type$"),
    "lists": ("plan", lambda v: [v], r"^100 % of another type$"),
    "null": ("x", lambda _: None, r"^in no record$"),
}


@pytest.mark.parametrize(("nulls", "told"), [(0.1, False), (0.5, True)])
def test_values_of_another_type_are_told_apart_from_none(nulls: float, told: bool) -> None:
    live, rng = columns(4, 2000), np.random.default_rng(5)
    spoilt = [value if rng.random() > 0.6 else str(value) for value in live["x"]]
    live["y"] = [None if rng.random() < nulls else value for value in spoilt]
    present = [value for value in live["y"] if value is not None]
    wrong = sum(isinstance(value, str) for value in present)
    before = PLAN.reference.features["y"].missing_ratio  # type: ignore[union-attr]
    expected = [f"missing {percent(before)} → {percent(1 - len(present) / 2000)}"] if told else []
    assert [*words(figures(live)["y"])] == [*expected, f"{percent(wrong / len(present))} of another type"]


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_named_and_comes_first(name: str) -> None:
    feature, spoil, said = FAULTS[name]
    live = columns(3, 1000)
    live[feature] = [spoil(value) for value in live[feature]]
    found = figures(live)
    times = {each: times_chance(own) for each, own in found.items()}
    assert max(times, key=lambda each: times[each]) == feature
    assert times[feature] > 10
    assert re.search(said, ", ".join(words(found[feature])))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("wrong", [None, "7"])
def test_the_more_values_are_wrong_the_higher_it_stands(wrong: object, share: float) -> None:
    live, more = columns(4, 1000), columns(4, 1000)
    live["x"][: int(1000 * share)] = [wrong] * int(1000 * share)
    more["x"][: int(1000 * share) + 50] = [wrong] * (int(1000 * share) + 50)
    assert 1 < times_chance(figures(live)["x"]) < times_chance(figures(more)["x"])


def test_words_are_exact() -> None:
    live = columns(5, 1000)
    live["x"][:650] = ["7"] * 650
    live["y"][:300] = [None] * 300
    found = figures(live)
    assert list(words(found["x"], "text")) == ["65 % text"]
    share = sum(value is None for value in live["y"]) / 10
    before = sum(value is None for value in columns(1, 4000)["y"]) / 40
    assert list(words(found["y"])) == [f"missing {before:.3g} % → {share:.3g} %"]


def test_a_few_values_of_another_type_are_no_chance_and_one_is_not_told() -> None:
    live = columns(6, 1000)
    live["x"][0] = "7"
    assert times_chance(figures(live)["x"]) < 1
    live["x"][:20] = ["7"] * 20
    assert list(words(figures(live)["x"], "text")) == ["2 % text"]
    assert times_chance({}) == 0
    assert list(words({})) == []
