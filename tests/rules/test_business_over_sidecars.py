"""Business rates, user-level variance and the split of traffic over seven restarting sidecars, from the raw events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from business_requests import Request, column, independent_stderr, standard_error, user_stderr
from clustered_users import share_stderr
from mlcanary.catalog import Role, Task
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import Label, ModelKey, Prediction, Record
from promtool_cases import Values, case, check, expression, series_name, shipped_groups
from replicated_release import (
    END,
    START,
    STEP,
    WARM_UP,
    WINDOWS,
    Expected,
    hold,
    replica_of,
    restart_ticks,
    scraped,
)

ROLES = {"v1": Role.BASELINE, "v2": Role.CANARY}
SHARES = {"v1": 2 / 3, "v2": 1 / 3}
PER_SCRAPE = {"v1": 16, "v2": 8}
MATURITY = 5.0
"""Everything that comes of a request comes in the scrape interval of the request: a restart then loses nothing."""

V = "model_version:mlcanary_"


@dataclass(frozen=True)
class Dated(Request):
    """A request of a version, at Unix seconds."""

    id: str
    version: str
    ts: float
    saved: bool

    @property
    def prediction(self) -> Prediction:
        """Its log line."""
        error = "500" if self.failed else None
        return Prediction(ModelKey("shop", self.version), self.ts, self.id, error=error, user=self.user)


def requests(rng: np.random.Generator) -> list[Dated]:
    """Sticky users of two versions, some anonymous; conversions without click, refunds, failures, a third event.

    None in the scrape interval after a restart of their sidecar: buckets hold so little that they would hide it.
    """
    made: list[Dated] = []
    ticks = restart_ticks()
    ids = rng.integers(0, 2**64 - 1, 900, dtype=np.uint64).tolist()
    for version, n in PER_SCRAPE.items():
        pool = ids[:600] if version == "v1" else ids[600:]
        tempers = rng.beta(2.0, 3.0, len(pool))
        for begin in np.arange(START - WARM_UP, START + END, STEP).tolist():
            for ts in np.sort(begin + rng.uniform(0.1, 8.0, n)).tolist():
                who = int(rng.integers(0, len(pool)) * rng.random())
                failed = bool(rng.random() < (0.03 if version == "v1" else 0.06))
                clicked = bool(not failed and rng.random() < tempers[who])
                converted = bool(not failed and rng.random() < (0.5 if clicked else 0.03))
                value = None if rng.random() < 0.05 else float(np.round(rng.normal(20.0, 15.0), 2))
                user = None if rng.random() < 0.1 else pool[who]
                saved = bool(rng.random() < 0.2)
                name = f"{version}-{ts!r}"
                r = Dated(user, failed, clicked, converted, value, not failed, name, version, ts, saved)
                if int((begin - START) // STEP) not in ticks[replica_of(r.prediction)]:
                    made.append(r)
    return made


def records(rows: Sequence[Dated]) -> Iterator[Record]:
    """Log lines of the requests, and a second of events after each."""
    for r in rows:
        yield r.prediction
        events = r.events | ({"save": 1000.0} if r.saved else {})
        for event, value in events.items():
            yield Label(r.id, r.ts + 1.0, "shop", event=event, value=value)
        yield Prediction(ModelKey("skewed", r.version), r.ts, r.id)


def test_business_series_equal_the_raw_events(tmp_path: Path) -> None:
    rows = requests(np.random.default_rng(3))
    plan = ModelPlan(Task.RANKING, roles=ROLES, join=JoinPolicy(MATURITY, 60.0), split=SHARES)
    skewed = ModelPlan(Task.RANKING, roles=ROLES, split={"v1": 0.75, "v2": 0.25})
    series = scraped(MonitorPlan(models={"shop": plan, "skewed": skewed}), list(records(rows)))
    series = {name: values for name, values in series.items() if "feature" not in name and "latency" not in name}
    expected: list[Expected] = []
    for window, seconds in WINDOWS.items():
        inside = [r for r in rows if START + END - seconds < r.ts <= START + END]
        for version in ROLES:
            expected += _of_version([r for r in inside if r.version == version], version, window)
        expected += _comparison(inside, window)
        expected += _split(inside, window)
    expected += _of_model([r for r in rows if r.ts > START])
    hold(tmp_path, series, expected)
    assert len(expected) > 150


def _figures(rows: Sequence[Dated]) -> Iterator[tuple[str, float, float | None, float | None]]:
    """Series, value, standard error over requests and over users."""
    answered = [r for r in rows if not r.failed]
    c, x, value, every = (column(rows, what) for what in ("clicked", "converted", "value", "all"))
    ctr = independent_stderr(column(answered, "clicked"), np.ones(len(answered)))
    yield "clicks:ctr", c.sum() / len(answered), ctr, user_stderr(rows, "clicked", "answered")
    followed = np.arange(c.sum())
    cvr = independent_stderr((followed < x.sum()).astype(float), np.ones(followed.size))
    yield "conversions:cvr", x.sum() / c.sum(), cvr, user_stderr(rows, "converted", "clicked")
    per = independent_stderr(x, every)
    yield "conversions:per_prediction", x.mean(), per, user_stderr(rows, "converted", "all")
    worth = standard_error(value)
    yield "conversion_value:per_prediction", value.mean(), worth, user_stderr(rows, "value", "all")


def _mature(rows: Sequence[Dated]) -> Iterator[tuple[str, float, float | None]]:
    mature = [r for r in rows if r.matured]
    c, x, value, every = (column(mature, what) for what in ("clicked", "converted", "value", "all"))
    yield "mature_clicks:ctr", c.mean(), independent_stderr(c, every)
    yield "mature_conversions:cvr", x.sum() / c.sum(), independent_stderr(x, c)
    yield "mature_conversions:per_prediction", x.mean(), independent_stderr(x, every)
    yield "mature_value:per_prediction", value.mean(), standard_error(value)


def _of_version(rows: Sequence[Dated], version: str, w: str) -> Iterator[Expected]:
    of = {"model": "shop", "version": version}
    value = column(rows, "value")
    for name, figure, stderr, over_users in _figures(rows):
        assert stderr is not None
        assert over_users is not None
        yield Expected(f"{V}{name}{w}", figure, of)
        yield Expected(f"{V}{name}_stderr{w}", stderr, of)
        yield Expected(f"{V}{name}_user_stderr{w}", over_users, of)
        yield Expected(f"{V}{name}_user_halfwidth{w}", float(stats.t.ppf(0.975, 63)) * over_users, of)
    for name, figure, stderr in _mature(rows):
        assert stderr is not None
        yield Expected(f"{V}{name}{w}", figure, of)
        yield Expected(f"{V}{name}_stderr{w}", stderr, of)
    worth = standard_error(value) or 0.0
    for name, scale in (("gmv", len(rows)), ("per_mille", 1000)):
        yield Expected(f"{V}conversion_value:{name}{w}", scale * value.mean(), of)
        yield Expected(f"{V}conversion_value:{name}_stderr{w}", scale * worth, of)
    yield Expected(f"{V}mature_predictions:count{w}", sum(r.matured for r in rows), of)
    save = {**of, "event": "save"}
    saved = np.array([r.saved for r in rows], dtype=float)
    yield Expected(f"model_version_event:mlcanary_business_events:per_prediction{w}", saved.mean(), save)
    yield Expected(f"model_version_event:mlcanary_business_value:mean{w}", 1000 * saved.mean(), save)
    yield Expected(f"model_version_event:mlcanary_business_value:mean_stderr{w}", stats.sem(1000 * saved), save)


def _comparison(rows: Sequence[Dated], w: str) -> Iterator[Expected]:
    of = {"model": "shop", "version": "v2"}
    baseline, canary = ([r for r in rows if r.version == version] for version in ("v1", "v2"))
    for ours, theirs in zip(_figures(canary), _figures(baseline), strict=True):
        delta, spread = ours[1] - theirs[1], np.hypot(ours[3] or 0.0, theirs[3] or 0.0)
        yield Expected(f"{V}{ours[0]}_delta{w}", delta, of)
        yield Expected(f"{V}{ours[0]}_zscore{w}", delta / spread, of)
    for (name, one, error), (_, other, its_error) in zip(_mature(canary), _mature(baseline), strict=True):
        yield Expected(f"{V}{name}_delta{w}", one - other, of)
        yield Expected(f"{V}{name}_zscore{w}", (one - other) / np.hypot(error or 0.0, its_error or 0.0), of)


def _of_model(rows: Sequence[Dated]) -> Iterator[Expected]:
    """What alerts about last week and about lost events read: all versions together, and what the canary lacks."""
    parts = [[r for r in rows if r.version == version] for version in ROLES]
    for name, event, above, below in (
        ("clicks:ctr", "clicked", "clicked", "answered"),
        ("conversions:cvr", "converted", "converted", "clicked"),
        ("conversion_value:per_prediction", "converted", "value", "all"),
    ):
        of, units = {"model": "shop"}, column(rows, below).sum()
        spread = [(user_stderr(part, above, below) or 0.0) * column(part, below).sum() for part in parts]
        yield Expected(f"model:mlcanary_{name}1h", column(rows, above).sum() / units, of)
        yield Expected(f"model:mlcanary_{name}_stderr1h", float(np.linalg.norm(spread)) / units, of)
        yield Expected(f"model:mlcanary_{name}_events1h", column(rows, event).sum(), of)
        yield Expected(f"model:mlcanary_{name}_units1h", units, of)
        theirs, ours = (column(part, above).sum() / column(part, below).sum() for part in parts)
        yield Expected(f"{V}{name}_drop1h", 1 - ours / theirs, {**of, "version": "v2"})


def _split(rows: Sequence[Dated], w: str) -> Iterator[Expected]:
    """The indicator "sample ratio mismatch": the shop's split is as configured, the other model's is not."""
    counts = np.array([sum(r.version == version for r in rows) for version in ROLES])
    for model, shares in (("shop", np.array(list(SHARES.values()))), ("skewed", np.array([0.75, 0.25]))):
        chisquare = stats.chisquare(counts, shares * counts.sum())
        off = counts / counts.sum() / shares - 1
        for i, version in enumerate(ROLES):
            of = {"model": model, "version": version}
            yield Expected(f"{V}expected_share_ratio:mean{w}", shares[i], of)
            yield Expected(f"{V}predictions:split_share{w}", counts[i] / counts.sum(), of)
            yield Expected(f"{V}predictions:split_deviation{w}", off[i], of)
            if model == "shop":
                yield Expected(f"{V}predictions:split_user_zscore{w}", _user_zscore(rows, version, shares[i]), of)
        alone = {"model": model}
        yield Expected(f"model:mlcanary_predictions:split_chisquare{w}", chisquare.statistic, alone)
        # Wilson and Hilferty's quantile lies 3 % above the exact one at one degree of freedom.
        exact = float(stats.chi2.isf(0.001, 1))
        yield Expected(f"model:mlcanary_predictions:split_chisquare_critical{w}", 1.015 * exact, alone, within=0.016)
        wrong = bool(chisquare.pvalue < 0.001 and np.abs(off).max() > 0.05 and model == "skewed")
        yield Expected(f"model:mlcanary_predictions:split_mismatch{w}", float(wrong), alone)


def _user_zscore(rows: Sequence[Request], version: str, share: float) -> float:
    known = [r for r in rows if r.user is not None and isinstance(r, Dated)]
    bucket = np.array([(r.user or 0) % 64 for r in known], dtype=np.intp)
    ours = np.array([r.version == version for r in known], dtype=float)
    x, n = (np.bincount(bucket, amounts, 64).astype(np.float64) for amounts in (ours, np.ones_like(ours)))
    found = float(ours.mean())
    return (found - share) / share_stderr(x, n, share)


def split_world(rng: np.random.Generator, canary: float, users: int, *, named: bool) -> dict[str, Values]:
    """An hour of sticky users, some of them heavy, of whom a share goes to the canary; 95 to 5 is configured."""
    weights = 1 + np.floor(rng.lognormal(1.0, 1.5, users))
    goes, bucket = rng.random(users) < canary, rng.integers(0, 64, users)
    of = {"instance": "sidecar:10877", "model": "shop"}
    series: dict[str, Values] = {}
    for version, share, mine in (("v1", 0.95, ~goes), ("v2", 0.05, goes)):
        series[series_name("mlcanary_expected_share_ratio", {**of, "version": version})] = [share] * 61
        total = float(weights[mine].sum())
        series[series_name("mlcanary_predictions_total", {**of, "version": version, "predicted": "1"})] = [
            total * minute / 60 for minute in range(61)
        ]
        for b, n in enumerate(np.bincount(bucket[mine], weights[mine], 64).tolist() if named else ()):
            place = {**of, "version": version, "bucket": str(b)}
            series[series_name("mlcanary_user_bucket_predictions_total", place)] = [n * m / 60 for m in range(61)]
    return series


def test_a_planted_skew_is_a_mismatch_and_heavy_sticky_users_with_a_correct_split_are_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    mismatch, chisquare = (f"model:mlcanary_predictions:split_{name}1h" for name in ("mismatch", "chisquare"))
    alone = {"model": "shop"}
    cases = []
    for skew, named, users, told in (
        (0.0, True, 3000, 0.0),
        (0.03, True, 20000, 1.0),
        (0.03, False, 20000, 1.0),
        (0.0, True, 3000, 0.0),
        (0.0, True, 300, 0.0),
    ):
        world = split_world(rng, 0.05 + skew, users, named=named)
        # Each world looks wrong to a test that takes requests as independent, also those whose split is correct.
        wanted = [expression(f"{chisquare} > bool 10.83", "1h", (alone, 1.0))] if users != 300 else []
        cases.append(case("1m", world, [*wanted, expression(mismatch, "1h", ({**alone, "__name__": mismatch}, told))]))
    check(tmp_path, "20m", cases)


def test_requests_that_are_split_as_configured_are_no_mismatch(tmp_path: Path) -> None:
    cases = []
    for canary, told in ((0.05, 0.0), (0.052, 0.0), (0.08, 1.0), (0.0, 1.0)):
        series: dict[str, Values] = {}
        for version, share, actual in (("v1", 0.95, 1 - canary), ("v2", 0.05, canary)):
            of = {"model": "shop", "version": version}
            series[series_name("mlcanary_expected_share_ratio", of)] = [share] * 61
            if actual:
                requests = [6000 * actual / 60 * minute for minute in range(61)]
                series[series_name("mlcanary_predictions_total", {**of, "predicted": "1"})] = requests
        name = "model:mlcanary_predictions:split_mismatch1h"
        cases.append(case("1m", series, [expression(name, "1h", ({"__name__": name, "model": "shop"}, told))]))
    check(tmp_path, "20m", cases)


def test_a_version_that_never_sells_has_rates_of_0_once_its_model_has_sold_and_no_rates_before(tmp_path: Path) -> None:
    minutes = range(61)
    series: dict[str, Values] = {}
    for model in ("sells", "silent"):
        for version, pace in (("v1", 3.0), ("v2", 0.0)):
            of = {"model": model, "version": version}
            series[series_name("mlcanary_predictions_total", {**of, "predicted": "1"})] = [30.0 * m for m in minutes]
            for event in ("click", "purchase"):
                sold = pace if model == "sells" else 0.0
                name = series_name("mlcanary_business_events_total", {**of, "event": event})
                series[name] = [sold * m for m in minutes]
                for sign in ("positive", "negative"):
                    worth = series_name("mlcanary_business_value_total", {**of, "event": event, "sign": sign})
                    series[worth] = [sold * m if sign == "positive" else 0.0 for m in minutes]
                series[series_name("mlcanary_business_value_squares_total", {**of, "event": event})] = series[name]
    for meaning, event in (("click", "click"), ("conversion", "purchase")):
        info = {"model": "sells", "event": event, "meaning": meaning}
        series[series_name("mlcanary_business_event_info", info)] = [1.0 for _ in minutes]
    of = {"model": "sells", "version": "v2"}
    figures = "clicks:ctr", "conversions:per_prediction", "conversion_value:gmv", "conversion_value:per_mille"
    tests = [
        expression(f"{V}{figure}1h{{version='v2'}}", "1h", ({**of, "__name__": f"{V}{figure}1h"}, 0.0))
        for figure in figures
    ]
    # Without a click there is nothing to take a share of.
    tests.append(expression(f"{V}conversions:cvr1h{{version='v2'}}", "1h"))
    every = {rule["record"] for group in shipped_groups() for rule in group["rules"] if "record" in rule}
    ours = sorted(name for name in every if re.match(f"{V}(clicks|conversion|mature_(clicks|conversions|value))", name))
    tests += [expression(f'{name}{{model="silent"}}', "1h") for name in ours]
    tests += [expression(f"{name} != {name}", "1h") for name in ours]
    check(tmp_path, "20m", [case("1m", series, tests)])
