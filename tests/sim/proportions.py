"""`python tests/sim/proportions.py`: how often E1 wrongs a healthy canary, and how soon it finds a bad one.

The full form: 2,000 runs of every stream. Beside each healthy stream: how often a z-test at p < .05 had fired at one of
the same looks. Delays in trials per arm, as multiples of the fixed-size test with 80 % power at the same alpha.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

import numpy as np  # noqa: E402 - after the folder of `sim`, which is not installed
from numpy.typing import NDArray  # noqa: E402
from scipy.special import ndtri  # noqa: E402

from mlcanary.stats.accumulator import Floats  # noqa: E402
from mlcanary.stats.horizon import horizon_threshold  # noqa: E402
from mlcanary.stats.hypergeometric import log_mgf  # noqa: E402
from mlcanary.stats.proportion_evidence import ProportionEvidence, log_odds_ratio, odds_ratio_grid  # noqa: E402
from sim.bars import SEED, Rate, table  # noqa: E402

RUNS = 2000
Flags = NDArray[np.bool_]
Block = tuple[Floats, Floats, Floats, Floats]
"""n_c, x_c, n_b, x_b; each of shape (runs,)."""

Z_TWO_SIDED = 1.959963984540054
RAMP = (0.01, 0.05, 0.25, 0.50)


@dataclass(frozen=True)
class Stream:
    """A healthy canary: how its blocks come about. `usual`: what the z-test is done on, if other than these blocks."""

    name: str
    blocks: Callable[[np.random.Generator, int], Iterator[Block]]
    usual: Callable[[np.random.Generator, int], Iterator[Block]] | None = None
    assumed_phi: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """`highest`: largest log E of each run; `untempered`: the same without a design effect; `z`: whether z fired."""

    stream: str
    highest: Floats
    untempered: Floats
    z: Flags

    def rate(self, alpha: float) -> Rate:
        """Ever-false rollbacks at `alpha`."""
        return Rate(f"{self.stream}, alpha {alpha}", int((self.highest >= -math.log(alpha)).sum()), len(self.z), alpha)


def constant(rate: float, n_c: int, n_b: int, looks: int) -> Callable[[np.random.Generator, int], Iterator[Block]]:
    """Both arms at one rate; blocks of a fixed size."""
    return two_rates(rate, rate, n_c, n_b, looks)


def two_rates(
    canary: float, baseline: float, n_c: int, n_b: int, looks: int
) -> Callable[[np.random.Generator, int], Iterator[Block]]:
    """Each arm at its rate; blocks of a fixed size."""

    def blocks(rng: np.random.Generator, runs: int) -> Iterator[Block]:
        ones = np.ones(runs)
        for _ in range(looks):
            x_c, x_b = rng.binomial(n_c, canary, runs), rng.binomial(n_b, baseline, runs)
            yield n_c * ones, x_c.astype(np.float64), n_b * ones, x_b.astype(np.float64)

    return blocks


def ramp_and_day(looks: int, per_look: int, *, clicks: bool) -> Callable[[np.random.Generator, int], Iterator[Block]]:
    """A CTR of 3 % that rises and falls by half over the day for everybody, while the canary's share rises.

    `clicks`: whether these are the events; else those that would be bad news, requests without a click.
    """

    def blocks(rng: np.random.Generator, runs: int) -> Iterator[Block]:
        for k in range(looks):
            rate = 0.03 * (1.0 + 0.5 * math.sin(2.0 * math.pi * k / looks))
            n_c = rng.binomial(per_look, RAMP[k * len(RAMP) // looks], runs)
            yield arms(rng, n_c, per_look - n_c, rate if clicks else 1.0 - rate)

    return blocks


def arms(rng: np.random.Generator, n_c: np.ndarray, n_b: np.ndarray, rate: float) -> Block:
    """Outcomes of both arms at one rate."""
    x_c, x_b = rng.binomial(n_c, rate), rng.binomial(n_b, rate)
    return n_c.astype(np.float64), x_c.astype(np.float64), n_b.astype(np.float64), x_b.astype(np.float64)


def bursts(looks: int) -> Callable[[np.random.Generator, int], Iterator[Block]]:
    """10 users per arm and look, 5 requests each; users differ (intraclass correlation .3), 10 % bad on average.

    Their design effect is 1 + 4 * .3 = 2.2: what an A/A run would tell.
    """

    def events(rng: np.random.Generator, runs: int) -> Floats:
        agreement = 1.0 / 0.3 - 1.0
        bad = rng.binomial(5, rng.beta(0.1 * agreement, 0.9 * agreement, (runs, 10)))
        return np.asarray(bad.sum(axis=1), dtype=np.float64)

    def blocks(rng: np.random.Generator, runs: int) -> Iterator[Block]:
        fifty = np.full(runs, 50.0)
        for _ in range(looks):
            yield fifty, events(rng, runs), fifty, events(rng, runs)

    return blocks


def late_labels(looks: int, *, matured: bool) -> Callable[[np.random.Generator, int], Iterator[Block]]:
    """3 % convert, 40 blocks later on average; bad: no conversion. The canary's share rises: its exposures are younger.

    As they arrive: exposures of the block without as many as converted in it. Matured: final outcomes of a cohort.
    """

    def blocks(rng: np.random.Generator, runs: int) -> Iterator[Block]:
        waiting = np.zeros((2, runs), dtype=np.int64)
        for k in range(looks):
            n_c = rng.binomial(1000, RAMP[k * len(RAMP) // looks], runs)
            n = np.stack([n_c, 1000 - n_c])
            converted = rng.binomial(n, 0.03)
            if not matured:
                waiting += converted
                converted = rng.binomial(waiting, 1.0 / 40.0)
                waiting -= converted
            bad = np.maximum(n - converted, 0).astype(np.float64)
            yield n[0].astype(np.float64), bad[0], n[1].astype(np.float64), bad[1]

    return blocks


HEALTHY = [
    Stream("errors 10 %, 50/50, look each 50", constant(0.10, 50, 50, 400)),
    Stream("errors 10 %, look each 500", constant(0.10, 500, 500, 40)),
    Stream("errors 10 %, look each 5", constant(0.10, 5, 5, 4000)),
    Stream("errors 10 %, look each 50, to 200,000", constant(0.10, 50, 50, 4000)),
    Stream("CTR 3 %", constant(0.03, 50, 50, 400)),
    Stream("rate 50 %", constant(0.50, 50, 50, 400)),
    Stream("rare .2 %", constant(0.002, 50, 50, 400)),
    Stream("errors 10 %, canary 5 % of traffic", constant(0.10, 50, 950, 400)),
    Stream("CTR 3 % +-50 % over the day, ramp: clicks", ramp_and_day(400, 1000, clicks=True)),
    Stream("the same: no click", ramp_and_day(400, 1000, clicks=False)),
    Stream("bursts of 5 requests, ICC .3; phi 2.2 assumed", bursts(400), assumed_phi=2.2),
    Stream("late labels, ramp", late_labels(400, matured=True), late_labels(400, matured=False)),
]


def feed(evidence: ProportionEvidence, block: Block) -> None:
    """`evidence.update`, but each table is summed once among all runs that have it."""
    n_c, x_c, n_b, x_b = block
    key = (n_c * 2.0**40 + n_b * 2.0**20 + x_c + x_b).astype(np.int64)
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    log_m = log_mgf(n_c[first], n_b[first], (x_c + x_b)[first], evidence.needed_tilts())[place]
    both = (n_c > 0) & (n_b > 0)
    n_c, x_c, n_b, x_b = (np.where(both, v, 0.0) for v in block)
    evidence.add(n_c, x_c, n_b, x_b, np.where(both[:, None], log_m, 0.0))


def z_fires(totals: Floats) -> Flags:
    """Whether |z| of two shares exceeds 1.96; totals n_c, x_c, n_b, x_b of shape (4, runs)."""
    n_c, x_c, n_b, x_b = totals
    pooled = (x_c + x_b) / np.maximum(n_c + n_b, 1.0)
    variance = pooled * (1.0 - pooled) * (1.0 / np.maximum(n_c, 1.0) + 1.0 / np.maximum(n_b, 1.0))
    difference = x_c / np.maximum(n_c, 1.0) - x_b / np.maximum(n_b, 1.0)
    fires: Flags = (np.abs(difference) > Z_TWO_SIDED * np.sqrt(variance)) & (variance > 0)
    return fires


def watched(stream: Stream, runs: int, seed: int = SEED) -> Outcome:
    """Every look of every run of a healthy stream."""
    evidence = ProportionEvidence(assumed_phi=stream.assumed_phi, shape=(runs,), with_interval=False)
    highest, untempered, usual = np.full(runs, -np.inf), np.full(runs, -np.inf), np.zeros(runs, dtype=bool)
    totals = np.zeros((4, runs))
    rng = np.random.default_rng(seed)
    beside = stream.usual(np.random.default_rng(seed), runs) if stream.usual else None
    for block in stream.blocks(rng, runs):
        feed(evidence, block)
        log_e = evidence.log_e()
        plain = np.where(evidence.phi > 1.0, without_tempering(evidence), log_e)
        highest, untempered = np.maximum(highest, log_e), np.maximum(untempered, plain)
        totals += np.stack(next(beside) if beside else block)
        usual |= z_fires(totals)
    return Outcome(stream.name, highest, untempered, usual)


def without_tempering(evidence: ProportionEvidence) -> Floats:
    """log E as if all events were independent."""
    tilted = odds_ratio_grid(evidence.mde).log_weights + evidence.worse
    top = tilted.max(axis=-1)
    log_e: Floats = top + np.log(np.exp(tilted - top[:, None]).sum(axis=-1))
    return log_e


UNGUARDED = [
    Stream("bursts of 5 requests, ICC .3; phi 1 assumed", bursts(400)),
    Stream("late labels as they arrive, ramp", late_labels(400, matured=False)),
]
"""Traps: what becomes of the guarantee if a stream is not what it was said to be."""


def fixed_size(canary: float, baseline: float, alpha: float) -> float:
    """Trials per arm of the one-sided test at one look with 80 % power."""
    spread = canary * (1.0 - canary) + baseline * (1.0 - baseline)
    return float((ndtri(1.0 - alpha) + ndtri(0.8)) ** 2 * spread / (canary - baseline) ** 2)


@dataclass(frozen=True)
class Delay:
    """Trials per arm until the rollback, one per run (infinite: not within the stream), and the fixed-size optimum."""

    effect: str
    fixed: float
    trials: Floats

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Mean, median and 80 % quantile over the runs, as multiples of the fixed size."""
        middle, late = np.quantile(self.trials, [0.5, 0.8], method="inverted_cdf")
        return float(self.trials.mean()) / self.fixed, float(middle) / self.fixed, float(late) / self.fixed

    @property
    def late(self) -> Rate:
        """Runs that took longer than the bar on the 80 % quantile allows: at most a fifth."""
        return Rate(self.effect, int((self.trials > P80_BAR * self.fixed).sum()), len(self.trials), 0.2)


def delay(
    canary: float, baseline: float, alpha: float, runs: int, *, log_threshold: float | None = None, seed: int = SEED
) -> Delay:
    """Time to the rollback of a canary that is worse, 50/50, looked at each 50 per arm; at most 12 fixed sizes."""
    fixed = fixed_size(canary, baseline, alpha)
    blocks = two_rates(canary, baseline, 50, 50, math.ceil(12.0 * fixed / 50.0))
    trials, going = np.full(runs, np.inf), np.arange(runs)
    evidence = ProportionEvidence(shape=(runs,), with_interval=False)
    limit = -math.log(alpha) if log_threshold is None else log_threshold
    for k, block in enumerate(blocks(np.random.default_rng(seed), runs), 1):
        feed(evidence, tuple(v[going] for v in block))  # type: ignore[arg-type]  # four of four
        done = evidence.log_e() >= limit
        trials[going[done]] = 50.0 * k
        going = going[~done]
        keep(evidence, ~done)
        if not going.size:
            break
    return Delay(f"{100 * baseline:g} % -> {100 * canary:g} %", fixed, trials)


def keep(evidence: ProportionEvidence, rows: Flags) -> None:
    """Go on with these runs alone."""
    for name in ("totals", "exposure", "worse", "better", "cumulants"):
        setattr(evidence, name, getattr(evidence, name)[rows])
    evidence.dependence.state = evidence.dependence.state[rows]


EFFECTS = [(0.115, 0.10), (0.12, 0.10), (0.13, 0.10), (0.15, 0.10), (0.036, 0.03), (0.045, 0.03)]
MEAN_BAR, P80_BAR = 1.6, 2.35
CAP = 20_000
"""Trials per arm of the declared size."""


def capped(baseline: float, alpha: float) -> float:
    """Threshold of E for 20,000 trials per arm, looked at each 50."""
    unit = baseline * (1.0 - baseline) / 2.0
    return horizon_threshold(CAP * unit, 50.0 * unit, alpha, odds_ratio_grid(0.2))


@dataclass(frozen=True)
class Decided:
    """What became of a canary with a margin of 2 points: trials per arm at the decision; infinite if none."""

    canary: float
    rolled_back: Flags
    promoted: Flags

    def false_promotions(self, alpha: float) -> Rate:
        """To be asked at or beyond the margin."""
        return Rate(f"canary {self.canary:g} promoted", int(self.promoted.sum()), len(self.promoted), alpha)


def decided(canary: float, alpha: float, runs: int, looks: int, seed: int = SEED) -> tuple[Decided, float]:
    """Rollback and promotion side by side, first to fire wins; and the mean trials per arm of those decided."""
    evidence = ProportionEvidence(margin=log_odds_ratio(0.10, 0.02), shape=(runs,), with_interval=False)
    outcome = Decided(canary, np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool))
    going, spent = np.arange(runs), np.full(runs, np.nan)
    for k, block in enumerate(two_rates(canary, 0.10, 50, 50, looks)(np.random.default_rng(seed), runs), 1):
        feed(evidence, tuple(v[going] for v in block))  # type: ignore[arg-type]  # four of four
        worse, good = evidence.log_e() >= -math.log(alpha), evidence.log_e_noninferior()
        assert good is not None
        fine = (good >= -math.log(alpha)) & ~worse
        outcome.rolled_back[going[worse]] = True
        outcome.promoted[going[fine]] = True
        spent[going[worse | fine]] = 50.0 * k
        keep(evidence, ~(worse | fine))
        going = going[~(worse | fine)]
        if not going.size:
            break
    return outcome, float(np.nanmean(spent))


def show_healthy(runs: int) -> None:
    """Ever-false rates."""
    rows = []
    for stream in [*HEALTHY, *UNGUARDED]:
        outcome = watched(stream, runs)
        at_5, at_1 = outcome.rate(0.05), outcome.rate(0.01)
        without = float((outcome.untempered >= -math.log(0.05)).mean())
        held = "(trap)" if stream in UNGUARDED else "yes" if at_5.held and at_1.held else "NO"
        rows.append([stream.name, *(f"{v:.3f}" for v in (outcome.z.mean(), without, at_5.share, at_1.share)), held])
    header = ["healthy stream", "z p < .05", "E1 without phi, .05", "E1, alpha .05", "E1, alpha .01", "held"]
    print(table(header, rows), flush=True)


def show_delays(runs: int) -> None:
    """Delays, and the bars."""
    rows = []
    for canary, baseline in EFFECTS:
        row = ["", ""]
        held = True
        for alpha in (0.05, 0.01):
            found = delay(canary, baseline, alpha, runs)
            row[:2] = [found.effect, f"{fixed_size(canary, baseline, 0.05):,.0f}"]
            row.append("/".join(f"{v:.2f}" for v in found.ratios))
            held = held and found.ratios[0] <= MEAN_BAR and found.ratios[2] <= P80_BAR
        soon = delay(canary, baseline, 0.05, runs, log_threshold=math.log(capped(baseline, 0.05)))
        within = float((soon.trials <= CAP).mean())
        row += ["/".join(f"{v:.2f}" for v in soon.ratios), f"{within:.3f}", "yes" if held else "NO"]
        rows.append(row)
    header = ["effect", "fixed n, .05", "E1, alpha .05", "E1, alpha .01", "capped at 20,000", "found by then", "held"]
    print("\n" + table(header, rows), flush=True)
    rows = []
    for rate, stream in ((0.10, HEALTHY[0]), (0.03, HEALTHY[4])):
        highest = watched(stream, runs).highest
        for alpha in (0.05, 0.01):
            threshold = capped(rate, alpha)
            rows.append([stream.name, f"{alpha}", f"{threshold:.1f}", f"{(highest >= math.log(threshold)).mean():.3f}"])
    print("\n" + table(["healthy, capped at 20,000", "alpha", "threshold of E", "ever false"], rows), flush=True)


def show_decisions(runs: int) -> None:
    """Rollback and promotion."""
    rows = []
    for canary in (0.08, 0.10, 0.105, 0.11, 0.12, 0.13, 0.15):
        outcome, mean = decided(canary, 0.05, runs, 2000)
        ends = [f"{v.mean():.3f}" for v in (outcome.rolled_back, outcome.promoted)]
        rows.append([f"{100 * canary:g} %", *ends, f"{mean:,.0f}"])
    header = ["canary (baseline 10 %, margin 2 points)", "rolled back", "promoted", "mean trials per arm"]
    print("\n" + table(header, rows), flush=True)


def main() -> None:
    """The whole table."""
    show_healthy(RUNS)
    show_delays(RUNS)
    show_decisions(RUNS)


if __name__ == "__main__":
    main()
