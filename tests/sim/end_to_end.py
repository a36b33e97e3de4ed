"""`python tests/sim/end_to_end.py`: releases behind a real Prometheus, judged by the real `mlcanary judge`.

Two pages, one per sidecar of a version, count the traffic of 150 releases; a scrape every two seconds stands for two
minutes. Healthy canaries climb from 10 to 50 % of the traffic, whose volume, failures, clicks and positives follow the
hour; faulty ones have half of it and go bad at a minute of their own. What is rolled back is taken off the pages, as a
handler would. Delays are in minutes of traffic and in requests of the canary, as the judge has read them, beside what
the best test of a fixed size needs at the alpha of the family. That test knows when the fault began; the evidence
remembers the healthy time before it, so the last column tells the ratio for a canary that is bad from its first request
(the judge's core alone, without Prometheus).
"""

from __future__ import annotations

import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]

from judge_arms import Arm, Release, plan  # noqa: E402 - beside this folder, not installed
from live_releases import CANARY, VERSIONS, LiveRelease, Sidecars, serving  # noqa: E402
from mlcanary.catalog import Family, Verdict  # noqa: E402
from own_ports import free_port  # noqa: E402
from prometheus_tools import get, prometheus, server, wait_for  # noqa: E402
from sim.bars import SEED, Rate, table  # noqa: E402
from sim.fixed_sizes import of_auc, of_log_loss, of_shift, of_two_shares  # noqa: E402
from sim.releases import daily, hour  # noqa: E402
from sim.releases import run as judged_alone  # noqa: E402

STEP = 120.0
"""Seconds of traffic between two scrapes."""

ALPHA = plan().alpha * plan().weights[Family.ERRORS]
"""Of each family."""

HEALTHY = "healthy"
FAULTS: dict[str, Callable[[Arm], Arm]] = {
    "errors 1 % -> 2 %": lambda arm: replace(arm, errors=2 * arm.errors),
    "log loss: log odds x1.75": lambda arm: replace(arm, sharpness=1.75),
    "AUC .80 -> .76": lambda arm: replace(arm, separation=1.0),
    "CTR -20 %": lambda arm: replace(arm, ctr=0.8 * arm.ctr),
    "one feature of three shifts by .1 sd": lambda arm: replace(arm, shift=(0.1, 0.0, 0.0)),
}
LED_BY: dict[str, frozenset[str]] = {
    "errors 1 % -> 2 %": frozenset({"errors"}),
    "log loss: log odds x1.75": frozenset({"log_loss"}),
    "AUC .80 -> .76": frozenset({"auc", "log_loss", "accuracy", "recall", "precision", "jaccard"}),
    "CTR -20 %": frozenset({"ctr", "conversion", "value"}),
    "one feature of three shifts by .1 sd": frozenset({"f0"}),
}
"""Measures that may lead to the rollback; a model that ranks worse is worse by all of these."""


def fixed_sizes() -> dict[str, float]:
    """Requests per arm that the best test of a fixed size needs, by fault."""
    usual = Arm()
    bad = {name: fault(usual) for name, fault in FAULTS.items()}
    errors, log_loss, auc, ctr, shift = bad.values()
    found = (
        of_two_shares(errors.errors, usual.errors, ALPHA),
        of_log_loss(log_loss, usual, ALPHA),
        of_auc(auc, usual, ALPHA),
        of_two_shares(ctr.ctr, usual.ctr, ALPHA) / (1 - usual.errors),
        of_shift(shift.shift[0], ALPHA, 2000, np.random.default_rng(SEED)) / (1 - usual.errors),
    )
    return dict(zip(bad, found, strict=True))


@dataclass(frozen=True, slots=True)
class Form:
    """Size of the experiment. `fault`: first and last step at which a fault may begin; `rate`: requests per second of
    both arms; `scrape`: seconds; `limit`: seconds after which the experiment has failed.
    """

    healthy: int = 50
    each: int = 20
    steps: int = 120
    fault: tuple[int, int] = (15, 40)
    rate: float = 10.0
    scrape: int = 2
    limit: float = 3600.0


@dataclass(slots=True)
class Planted:
    """A release and what became of it. `fault`: its kind, or `HEALTHY`; `at`: the first bad step.

    `found_at`: the step that the judge had read at its rollback, None without one; `rows`: requests of the canary until
    then; `verdict`: the last that the judge had.
    """

    live: LiveRelease
    fault: str
    at: int
    verdict: str = ""
    leading: str = ""
    text: str = ""
    since: float = 0.0
    found_at: int | None = None
    rows: float = 0.0

    @property
    def rolled_back(self) -> bool:
        """Whether the judge ever said so."""
        return self.found_at is not None

    @property
    def found(self) -> bool:
        """Rolled back, and not before there was a fault."""
        return self.fault != HEALTHY and self.found_at is not None and self.found_at >= self.at

    @property
    def minutes(self) -> float:
        """Of traffic, from the beginning of the fault to the rollback."""
        assert self.found_at is not None
        return (self.found_at - self.at + 1) * STEP / 60

    @property
    def fault_rows(self) -> float:
        """Requests of the canary from the beginning of the fault to the rollback."""
        return self.rows - self.live.rows[self.at - 1]


def planted(form: Form) -> Iterator[Planted]:
    """All releases of the experiment."""
    kinds = [HEALTHY] * form.healthy + [name for name in FAULTS for _ in range(form.each)]
    rng = np.random.default_rng(SEED)
    usual = daily(Arm())
    for i, kind in enumerate(kinds):
        at = int(rng.integers(form.fault[0], form.fault[1] + 1))
        canary = usual if kind == HEALTHY else _goes_bad(FAULTS[kind], (at - 1) * STEP)
        release = Release(
            SEED + i,
            canary,
            usual,
            _ramp(form.steps * STEP) if kind == HEALTHY else lambda t: 0.5 * (t >= STEP),
            lambda t: form.rate * hour(t, 0.3),
            STEP,
        )
        yield Planted(LiveRelease(f"m{i:03}", release), kind, at)


def _goes_bad(fault: Callable[[Arm], Arm], after: float) -> Callable[[float], Arm]:
    usual = daily(Arm())
    return lambda t: fault(usual(t)) if t >= after else usual(t)


def _ramp(seconds: float) -> Callable[[float], float]:
    """10, 25 and 50 % for a third of the time each."""
    return lambda t: (0.1, 0.25, 0.5)[min(int(3 * t / seconds), 2)] * (t >= STEP)


@dataclass(slots=True)
class Ended:
    """`series`: models that Prometheus has ever scraped a rollback of, from the judge's own page."""

    releases: list[Planted]
    series: set[str] = field(default_factory=set)
    seconds: float = 0.0

    @property
    def false(self) -> Rate:
        """Rollbacks of canaries that were healthy, or still were."""
        count = sum(each.rolled_back and not each.found for each in self.releases)
        return Rate("end to end", count, len(self.releases), plan().alpha)

    def of(self, fault: str) -> list[Planted]:
        """The releases with a fault."""
        return [each for each in self.releases if each.fault == fault]


def run(form: Form, folder: Path, say: Callable[[str], None] = lambda _text: None) -> Ended:
    """The experiment; `folder` takes the files of Prometheus and of the judge, `say` hears of each rollback."""
    began = time.monotonic()
    releases = list(planted(form))
    by_model = {each.live.model: each for each in releases}
    sidecars = Sidecars([each.live for each in releases], form.steps)
    address = f"127.0.0.1:{free_port()}"
    with (
        serving(sidecars) as port,
        prometheus(folder, _scraping(form, port, address)) as url,
        judging(folder, form, url, address) as judge,
    ):
        while not _watched(judge, sidecars, by_model, say):
            assert time.monotonic() - began < form.limit, "the judge has not read all of the traffic"
            time.sleep(2 * form.scrape)
        for each in releases:
            if each.since:
                _look_back(url, each)
        wait_for("the judge's page to be scraped", lambda: _rolled_back(url) >= _decided(releases) or None)
        return Ended(releases, _rolled_back(url), time.monotonic() - began)


def _watched(judge: str, sidecars: Sidecars, by_model: dict[str, Planted], say: Callable[[str], None]) -> bool:
    """Note what the judge says now; whether it has read everything."""
    told = get(f"{judge}/v1/verdicts")
    if not told or not told.get("read_at"):  # it has not looked yet, or is too busy to answer
        return False
    for answer in told["canaries"]:
        each = by_model[answer["key"]["model"]]
        each.verdict = answer["verdict"]
        if answer["verdict"] == Verdict.ROLLBACK and not each.since:
            each.since, each.leading, each.text = answer["since"], answer["leading"], answer["text"]
            sidecars.retire(each.live.model)
            say(f"step {sidecars.steps[CANARY]}, {each.fault}: {each.text}")
    ends = [sidecars.ended_at.get(version) for version in VERSIONS]
    return all(end is not None and told["read_at"] > end for end in ends)


def _look_back(url: str, each: Planted) -> None:
    """Find the step at which a rollback was decided by what Prometheus held then."""
    query = f'sum(mlcanary_predictions_total{{model="{each.live.model}",version="{CANARY}"}})'
    found = get(f"{url}/api/v1/query", query=query, time=repr(each.since))["data"]["result"]
    each.rows = float(found[0]["value"][1])
    each.found_at = bisect_left(each.live.rows, each.rows)


def _decided(releases: Sequence[Planted]) -> set[str]:
    return {each.live.model for each in releases if each.since}


def _rolled_back(url: str) -> set[str]:
    query = 'max by (model) (max_over_time(mlcanary_judge_verdict{verdict="rollback"}[2h])) == 1'
    answer: Any = get(f"{url}/api/v1/query", query=query)
    return {series["metric"]["model"] for series in answer["data"]["result"]}


def _scraping(form: Form, port: int, judge: str) -> dict[str, object]:
    sidecars = [
        {
            "job_name": f"sidecar-{version}",
            "metrics_path": f"/{version}",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        }
        for version in VERSIONS
    ]
    kept = {"source_labels": ["__name__"], "regex": "mlcanary_judge_verdict", "action": "keep"}
    of_judge = {
        "job_name": "judge",
        "scrape_interval": "5s",
        "static_configs": [{"targets": [judge]}],
        "metric_relabel_configs": [kept],
    }
    interval = f"{form.scrape}s"
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [*sidecars, of_judge],
    }


@contextmanager
def judging(folder: Path, form: Form, url: str, address: str) -> Iterator[str]:
    """A judge that looks once per scrape, with hours as long as the traffic's; gives its URL."""
    hour_of_traffic = 3600.0 / STEP * form.scrape
    (folder / "judge.yml").write_text(
        f"interval: {form.scrape}s\nsettle: {2 * form.scrape}s\nforget_after: 60s\n"
        f"defaults: {{warm_up: 0, block_seconds: {form.scrape}s, min_age: {hour_of_traffic:g}s}}\n"
    )
    argv = [sys.executable, "-m", "mlcanary", "judge", "--config.file", str(folder / "judge.yml")]
    argv += ["--prometheus.url", url, "--web.listen-address", address, "--state.path", str(folder / "judge.sqlite")]
    with server(argv, folder / "judge.log", f"http://{address}/-/healthy"):
        yield f"http://{address}"


def rows_from_the_start(fault: str, runs: int, form: Form) -> float:
    """Median requests of a canary that is bad from the first one, until its rollback."""
    usual, rows = daily(Arm()), []
    for i in range(runs):
        release = Release(
            SEED + i, _goes_bad(FAULTS[fault], 0.0), usual, lambda _t: 0.5, lambda t: form.rate * hour(t, 0.3), STEP
        )
        ended = judged_alone(release, form.steps * STEP)
        rows.append(np.inf if ended.rows is None else ended.rows)
    return median(rows)


def rows_of(ended: Ended) -> Iterator[list[str]]:
    """The table on faults."""
    for fault, fixed in fixed_sizes().items():
        all_of_it = ended.of(fault)
        found = [each for each in all_of_it if each.found]
        named = sum(each.leading in LED_BY[fault] for each in found)
        figures = ["-"] * 5
        if found:
            rows = median(each.fault_rows for each in found)
            minutes = median(each.minutes for each in found)
            at_once = rows_from_the_start(fault, 20, Form()) / fixed
            figures = [f"{minutes:,.0f}", f"{rows:,.0f}", f"{fixed:,.0f}", f"{rows / fixed:.2f}", f"{at_once:.2f}"]
        yield [fault, f"{len(found)} of {len(all_of_it)}", f"{named} of {len(found)}", *figures]


def main() -> None:
    """The full tables."""
    with tempfile.TemporaryDirectory() as folder:
        ended = run(Form(), Path(folder), lambda text: print(text, file=sys.stderr, flush=True))
    healthy = ended.of(HEALTHY)
    false = ended.false
    rollbacks = sum(each.rolled_back for each in healthy)
    promoted = sum(each.verdict == Verdict.PROMOTE for each in healthy)
    header = ["healthy releases", "rolled back", "promoted", "rolled back before their fault", "promised", "held"]
    before = f"{false.count - rollbacks} of {len(ended.releases) - len(healthy)}"
    print(
        table(
            header,
            [[str(len(healthy)), str(rollbacks), str(promoted), before, f"{false.promised:.0%}", f"{false.held}"]],
        ),
        "\n",
    )
    header = ["fault", "found", "named", "median minutes", "median canary requests", "fixed size", "ratio"]
    header.append("ratio, bad from the start")
    print(table(header, list(rows_of(ended))))
    print(f"\n{ended.seconds / 60:.0f} minutes; Prometheus has {len(ended.series)} rollbacks.", file=sys.stderr)


if __name__ == "__main__":
    main()
