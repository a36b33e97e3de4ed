"""A healthy canary two hours old beside its baseline, where a sale is known six hours later on average.

Both sell in 5 % of cases in the end. Only sales are logged; no sale within the maturity means none. The counters of a
replay come from numpy, and are those of the real monitor (a test compares them), so that a thousand replays are cheap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from mlcanary.catalog import LABEL_AGES, OBJECTIVES, Role
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.reference import edge_labels
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction, Record
from prometheus_tools import RULES
from promtool_cases import Values, case, check, expression, series_name

CVR, MEAN_DELAY = 0.05, 6 * 3600.0
START = 1_800_000_000.0
"""Unix seconds at which the canary gets its first request; times below are seconds from there."""

EARLIEST, AGE, STEP = -1800.0, 7200.0, 60.0
PER_SECOND = 2.0
SCORES = np.array([0.005, 0.01, 0.02, 0.05, 0.095, 0.12])
TICKS = np.arange(EARLIEST, AGE + 1, STEP)
NAMES = {"v1": Role.BASELINE, "v2": Role.CANARY}
Floats = NDArray[np.float64]
Key = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Arm:
    """Requests of one version in order: their times, scores, and the delay of the sale, infinite where none comes."""

    time: Floats
    score: Floats
    delay: Floats


def plan(maturity: float, model: str = "sales") -> MonitorPlan:
    """What an operator writes: roles, a maturity, and that no label by then means no sale."""
    join = JoinPolicy(maturity, 86_400.0, "0")
    return MonitorPlan(models={model: ModelPlan(join=join, roles=NAMES)}, windows=())


def arms(rng: np.random.Generator, maturity: float, *, ranking: bool = True) -> dict[str, Arm]:
    """Baseline, which has run for long, and canary; without `ranking` the canary's scores mean nothing."""
    made = {}
    for version, since in (("v1", EARLIEST - maturity), ("v2", 0.0)):
        n = int(rng.poisson(PER_SECOND * (AGE - since)))
        true = rng.choice(SCORES, n)
        told = true if ranking or version == "v1" else SCORES[::-1][np.searchsorted(SCORES, true)]
        delay = np.where(rng.random(n) < true, rng.exponential(MEAN_DELAY, n), np.inf)
        made[version] = Arm(np.sort(rng.uniform(since, AGE, n)), told, delay)
    return made


def counters(arm: Arm, maturity: float) -> dict[Key, Floats]:
    """Counters of a version at every tick, by family and own labels; those left out are zero."""
    sold = arm.delay <= maturity
    ripe = arm.time + maturity
    loss = -np.log(np.where(sold, arm.score, 1 - arm.score))
    known = arm.time + arm.delay
    found: dict[Key, Floats] = {
        ("predictions_total", ("0",)): _count(arm.time),
        ("label_join_pending", ()): _count(arm.time) - _count(ripe),
        ("label_joins_total", ("matched",)): _count(ripe[sold]),
        ("label_joins_total", ("assumed",)): _count(ripe[~sold]),
        ("label_joins_total", ("late",)): _count(known[~sold]),
        ("labeled_predictions_total", ("1", "0")): _count(ripe[sold]),
        ("labeled_predictions_total", ("0", "0")): _count(ripe[~sold]),
        ("mature_labels_total", ("positive",)): _count(ripe[sold]),
        ("mature_labels_total", ("negative",)): _count(ripe[~sold]),
        ("label_age_predictions_total", ()): _count(ripe),
        ("provisional_labels_total", ("positive",)): _count(known[sold]),
        ("provisional_labeled_predictions_total", ("1", "0")): _count(known[sold]),
        ("log_loss_sum", ()): _sum(ripe, loss),
        ("log_loss_count", ()): _count(ripe),
        ("log_loss_squares_total", ()): _sum(ripe, loss**2),
    }
    for age in LABEL_AGES:
        if age <= maturity:
            found["label_age_labeled_total", (f"{age:.0f}",)] = _count(ripe[arm.delay <= age])
    edges = ModelPlan().score_edges
    labels = edge_labels(edges)
    for actual, mask in (("positive", sold), ("negative", ~sold)):
        for score in SCORES:
            own = labels[int(np.searchsorted(edges, score))]
            found["labeled_score_bin_total", (actual, own)] = _count(ripe[mask & (arm.score == score)])
            found["labeled_score_below_total", (actual, own)] = _count(ripe[mask & (arm.score < score)])
    return found


def _count(times: Floats) -> Floats:
    return np.searchsorted(np.sort(times), TICKS, side="right").astype(float)


def _sum(times: Floats, values: Floats) -> Floats:
    """`times` ascending."""
    return np.concatenate(([0.0], np.cumsum(values)))[np.searchsorted(times, TICKS, side="right")]


def monitored(made: Mapping[str, Arm], maturity: float) -> Iterator[tuple[int, dict[tuple[str, Key], float]]]:
    """What the real monitor shows of each version at every tick."""
    lines = sorted(_lines(made), key=lambda line: line.ts)
    monitor, fed = Monitor(plan(maturity), START + EARLIEST - maturity), 0
    for tick, time in enumerate(TICKS.tolist()):
        due = fed
        while due < len(lines) and lines[due].ts <= START + time:
            due += 1
        monitor.feed(lines[fed:due], START + time)
        monitor.advance(START + time, START + time)
        fed = due
        yield (
            tick,
            {
                (s.labels[1], (s.name.removeprefix("mlcanary_") + s.suffix, s.labels[2:])): s.value
                for s in monitor.samples(START + time)
                if len(s.labels) > 1
            },
        )


def _lines(made: Mapping[str, Arm]) -> Iterator[Record]:
    for version, arm in made.items():
        columns = (arm.time.tolist(), arm.score.tolist(), arm.delay.tolist())
        for i, (time, score, delay) in enumerate(zip(*columns, strict=True)):
            name = f"{version}-{i}"
            yield Prediction(ModelKey("sales", version), START + time, name, predicted="0", score=score)
            if np.isfinite(delay):
                yield Label(name, START + time + delay, "sales", "1")


NOT_READ_BY_ALERTS = ("mature_", "label_age_", "provisional_")


def scraped(model: str, made: Mapping[str, Arm], maturity: float) -> dict[str, Values]:
    """The series of a model that alerts read, for promtool; its time 0 is `EARLIEST`."""
    target = {"job": "mlcanary-exporter", "instance": "sidecar:10877", "model": model}
    series: dict[str, Values] = {
        series_name("mlcanary_bin_edges_info", {**target, "edges": "5f2a"}): [1.0] * TICKS.size,
        series_name("mlcanary_label_maturity_seconds", target): [maturity] * TICKS.size,
    }
    for row in OBJECTIVES:
        limit = {**target, "objective": row.name}
        series[series_name("mlcanary_objective_threshold", limit)] = [row.default] * TICKS.size
    for version, arm in made.items():
        born = int(np.searchsorted(TICKS, arm.time[0]))
        of = {**target, "version": version}
        figures = {**counters(arm, maturity), ("model_info", (NAMES[version].value, "binary")): np.ones(TICKS.size)}
        for (family, own), values in figures.items():
            if not family.startswith(NOT_READ_BY_ALERTS):
                labels = {**of, **dict(zip(_LABELS.get(family, ()), own, strict=True))}
                series[series_name(f"mlcanary_{family}", labels)] = [None] * born + values[born:].tolist()
    return series


_LABELS = {
    "model_info": ("role", "task"),
    "predictions_total": ("predicted",),
    "label_joins_total": ("result",),
    "labeled_predictions_total": ("actual", "predicted"),
    "labeled_score_bin_total": ("actual", "bin"),
    "labeled_score_below_total": ("actual", "bin"),
}


ALERTS = sorted(
    {
        rule["alert"]
        for group in yaml.safe_load((RULES / "canary.alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    }
)
MODELS_PER_CASE = 10
"""promtool loads no more than 10,000 samples into a query."""


def silent_but_for_the_broken_one(folder: Path, maturity: float, replays: Sequence[int]) -> None:
    """promtool over the shipped rules: no alert about models fires in these replays, until the canary is two hours old.

    A model whose canary ranks upside down stands beside them: of it, alerts do fire.
    """
    span = f"{int((AGE - EARLIEST) / 60)}m"
    fired = f'group by (model, alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{span}]))'
    broken = scraped("broken", arms(np.random.default_rng(8), maturity, ranking=False), maturity)
    found = [({"model": "broken", "alertname": name}, 1.0) for name in BROKEN]
    cases = [case(f"{int(STEP)}s", broken, [expression(fired, span, *found)])]
    for first in range(0, len(replays), MODELS_PER_CASE):
        series: dict[str, Values] = {}
        for i in replays[first : first + MODELS_PER_CASE]:
            series |= scraped(f"healthy-{i}", arms(np.random.default_rng([7, i]), maturity), maturity)
        cases.append(case(f"{int(STEP)}s", series, [expression(fired, span)]))
    check(folder, "2m", cases, *ALERTS)


BROKEN = ("MLCanaryAUCBelowBaseline",)


@dataclass(frozen=True)
class Reading:
    """What a person sees when the canary is two hours old. Rates are sales per prediction.

    `so_far`: sales over predictions, whatever their age, which is what looks like a catastrophe beside `baseline`.
    """

    provisional: float
    mature: float
    delta: float
    stderr: float
    so_far: float
    baseline: float


def read(made: Mapping[str, Arm], maturity: float) -> Reading:
    """From the counters, the last hour for the comparison, as the recorded series over 1h do."""
    shown = {version: counters(arm, maturity) for version, arm in made.items()}
    hour = int(3600 / STEP)
    rates = {}
    for version, found in shown.items():
        sales, cohort = found["mature_labels_total", ("positive",)], found["label_age_predictions_total", ()]
        k, n = sales[-1] - sales[-1 - hour], cohort[-1] - cohort[-1 - hour]
        rates[version] = (k / n, k / n * (1 - k / n) / n)
    new = shown["v2"]
    old, young = made["v1"], made["v2"]
    return Reading(
        float(new["provisional_labels_total", ("positive",)][-1] / new["predictions_total", ("0",)][-1]),
        float(rates["v2"][0]),
        float(rates["v2"][0] - rates["v1"][0]),
        float(np.sqrt(rates["v1"][1] + rates["v2"][1])),
        float((young.time + young.delay <= AGE).mean()),
        float(np.isfinite(old.delay).mean()),
    )
