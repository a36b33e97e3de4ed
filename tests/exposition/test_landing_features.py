"""The landing page lists features as `mlcanary replay` does: of every kind, one row each, by how far beyond chance."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mlcanary.exposition.families import families
from mlcanary.exposition.landing import SHOWN, render_landing
from mlcanary.exposition.page import Page
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.profiling import ProfileOptions, profile_columns
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import ModelKey, Prediction

START = 1_800_000_000.0
TITLE = "Features furthest from the reference"


def rows(seed: int, n: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    names = rng.choice(["DE", "FR"], n).tolist()
    return [
        {"size": a, "age": b, "util": c, "country": d}
        for (a, b, c), d in zip(rng.normal(size=(n, 3)), names, strict=True)
    ]


def page(by_version: dict[str, list[dict[str, Any]]], *, reference: bool = True) -> str:
    """What a person sees after these requests, all within five minutes."""
    known = rows(1, 3000)
    profile = profile_columns({name: [row[name] for row in known] for name in known[0]}, ProfileOptions())
    plan = MonitorPlan(default=ModelPlan(reference=profile if reference else None))
    monitor = Monitor(plan, START)
    tuple(monitor.samples(START))
    for version, live in by_version.items():
        key = ModelKey("churn", version)
        monitor.feed(
            [Prediction(key, START + i / 10, f"{version}{i}", row, "1") for i, row in enumerate(live)], START + 200
        )
    tuple(monitor.samples(START + 200))
    shown = [family for family in families(monitor.samples(START + 210)) if family.spec.name in SHOWN]
    return render_landing(Page(families=shown), "/metrics")


def listed(html: str) -> list[list[str]]:
    """Cells of the table under the title."""
    part = html.split(f"<h2>{TITLE}</h2>", 1)[1].split("<h2>", 1)[0]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", part)][1:]


def test_every_fault_has_one_row_of_its_version_the_furthest_first() -> None:
    faulty = rows(3, 1500)
    for i, row in enumerate(faulty):
        row["country"] = "Germany" if row["country"] == "DE" else "FR"
        if i % 5 == 0:
            row["util"] = None
        if i % 2:
            row["age"] = str(row["age"])
        row["size"] *= 1000
    found = listed(page({"v1": rows(2, 1500), "v2": faulty}))
    assert {row[2] for row in found} == {"size", "age", "util", "country"}
    assert len(found) == 4
    assert {row[1] for row in found} == {"v2"}
    said = {row[2]: row[4] for row in found}
    assert said["util"] == "missing 0 % → 20 %"
    assert said["age"].endswith("50 % of another type")
    assert re.fullmatch(r"PSI [\d.]+ \(by chance 0\.0\d\d\), [\d.]+ % never seen in the reference", said["country"])
    times = [float(row[5].replace(",", "")) for row in found]
    assert times == sorted(times, reverse=True)
    assert times[-1] > 1


def test_a_healthy_page_says_that_nothing_is_beyond_chance() -> None:
    html = page({"v1": rows(2, 1500), "v2": rows(4, 1500)})
    assert f"<h2>{TITLE}</h2><p>None lies further from the reference than chance takes it.</p>" in html


def test_a_feature_that_no_record_has_is_listed() -> None:
    (row,) = listed(page({"v1": [{k: v for k, v in row.items() if k != "size"} for row in rows(2, 1500)]}))
    assert (row[2], row[4]) == ("size", "in no record")


def test_without_a_profile_there_is_no_list() -> None:
    assert TITLE not in page({"v1": rows(2, 200)}, reference=False)


def test_of_many_the_ten_furthest_are_shown_and_the_others_counted() -> None:
    faulty = {f"v{i}": [row | {"size": 1e6, "util": None} for row in rows(i, 300)] for i in range(7)}
    html = page(faulty)
    assert len(listed(html)) == 10
    assert " 4 more are not shown." in html
