"""`python tests/sim/auc.py`: the evidence on AUC under traffic of known truth, beside DeLong's test at each look.

Binormal scores in 50 bins at quantiles of the baseline's scores. Healthy streams, a ramp while the AUC of both arms
drifts (all counts pooled, and by phase), delays until a lower AUC is found, and false promotions at the margin.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

sys.path[:0] = [str(Path(__file__).parents[1])]

from mlcanary.stats.accumulator import Floats  # noqa: E402 - after the path
from mlcanary.stats.auc_evidence import AUCEvidence, auc_variance  # noqa: E402
from sim.bars import SEED, Rate, table  # noqa: E402

RUNS = 2000
ALPHA = 0.05
THRESHOLD = math.log(1 / ALPHA)
BINS = 50
LEAST = 50


def cells(auc: float, base: float, reference: float = 0.8) -> Floats:
    """Chance of each bin with a positive, then with a negative, shape (2 B,); edges are those of `reference`."""
    apart, usual = (math.sqrt(2.0) * float(stats.norm.ppf(a)) for a in (auc, reference))
    grid = np.linspace(-5.0, 7.0, 12_001)
    mixed = base * stats.norm.cdf(grid - usual) + (1 - base) * stats.norm.cdf(grid)
    edges = np.interp(np.arange(1, BINS) / BINS, mixed, grid)
    bounds = np.concatenate([[-np.inf], edges, [np.inf]])
    positive, negative = np.diff(stats.norm.cdf(bounds - apart)), np.diff(stats.norm.cdf(bounds))
    shares = np.concatenate([base * positive, (1 - base) * negative])
    law: Floats = shares / shares.sum()
    return law


@dataclass(frozen=True, slots=True)
class Stage:
    """A stretch of traffic with one split: labelled trials per look and arm, and the AUC of both."""

    looks: int
    canary: int
    baseline: int
    auc_canary: float
    auc_baseline: float


@dataclass(slots=True)
class Seen:
    """First look at which evidence fired, by phase, pooled, for promotion, and DeLong's test; 0 for never."""

    by_phase: Floats
    pooled: Floats
    promoted: Floats
    usual: Floats


def watch(
    stages: list[Stage], base: float, runs: int, *, seed: int = SEED, margin: float = 0.02, until_found: bool = False
) -> Seen:
    """Play the stages one after the other, each a phase; `until_found`: stop once all runs are found by phase."""
    rng = np.random.default_rng(seed)
    phased = AUCEvidence(bins=BINS, margin=margin, shape=(runs,))
    pooled = AUCEvidence(bins=BINS, shape=(runs,))
    firsts, look = np.zeros((4, runs)), 0
    for phase, stage in enumerate(stages):
        laws = cells(stage.auc_canary, base), cells(stage.auc_baseline, base)
        for _ in range(stage.looks):
            look += 1
            canary, baseline = (
                rng.multinomial(size, law, runs) for size, law in zip((stage.canary, stage.baseline), laws, strict=True)
            )
            block = canary[:, :BINS], canary[:, BINS:], baseline[:, :BINS], baseline[:, BINS:]
            phased.update(*block, phase=phase)
            fit = phased.log_e_noninferior()
            assert fit is not None
            fired = [phased.log_e() >= THRESHOLD, fit >= THRESHOLD]
            if len(stages) > 1:
                pooled.update(*block, phase=0)
                fired += [pooled.log_e() >= THRESHOLD, differs(pooled)]
            else:
                fired += [fired[0], differs(phased)]
            for row, now in enumerate(fired):
                firsts[row, (firsts[row] == 0) & now] = look
            if until_found and (firsts[0] > 0).all():
                break
    return Seen(firsts[0], firsts[2], firsts[1], firsts[3])


def differs(evidence: AUCEvidence) -> NDArray[np.bool_]:
    """DeLong's test on all counts: whether p < 0.05, two-sided, once there are enough of both classes."""
    canary, variance_c = auc_variance(evidence.counts[0], evidence.counts[1])
    baseline, variance_b = auc_variance(evidence.counts[2], evidence.counts[3])
    enough = (evidence.counts.sum(axis=-1) >= LEAST).all(axis=0)
    variance = np.where(enough, variance_c + variance_b, 1.0)
    apart: NDArray[np.bool_] = enough & ((canary - baseline) ** 2 > 1.959964**2 * variance)
    return apart


def steady(looks: int, canary: int, baseline: int, auc: float = 0.8) -> list[Stage]:
    """One phase, the baseline's AUC at 0.80."""
    return [Stage(looks, canary, baseline, auc, 0.8)]


def ramp(looks: int, lower: float = 0.0) -> list[Stage]:
    """5, 25, 50 % of 200 labels per look while both arms fall from 0.85 to 0.73; the canary `lower` all the while."""
    stages = []
    for (canary, baseline), auc in zip([(10, 190), (50, 150), (100, 100)], (0.85, 0.79, 0.73), strict=True):
        stages.append(Stage(looks, canary, baseline, auc - lower, auc))
    return stages


HEALTHY = [
    ("AUC .80, base 20 %, 50/50", 0.2, steady(400, 50, 50)),
    ("AUC .80, base 5 %, 50/50", 0.05, steady(400, 50, 50)),
    ("AUC .80, base 20 %, 10/90", 0.2, steady(400, 10, 90)),
    ("AUC drifts .85 to .73, ramp 5-25-50 %", 0.2, ramp(130)),
]


def rate(name: str, firsts: Floats) -> Rate:
    """How many runs ever fired."""
    return Rate(name, int((firsts > 0).sum()), firsts.size, ALPHA)


def fixed_size(auc: float, base: float) -> float:
    """Labelled trials per arm of the one-sided DeLong test at ALPHA with 80 % power, split 50/50."""
    unit = 1e6
    noise = sum(
        float(auc_variance(unit * cells(a, base)[:BINS], unit * cells(a, base)[BINS:])[1]) * unit for a in (0.8, auc)
    )
    return float(stats.norm.ppf(1 - ALPHA) + stats.norm.ppf(0.8)) ** 2 * noise / (0.8 - auc) ** 2


def delay(auc: float, runs: int, looks: int, base: float = 0.2, seed: int = SEED) -> list[str]:
    """A row: how long a canary of lower AUC goes unseen."""
    fixed = fixed_size(auc, base)
    seen = watch(steady(looks, 50, 50, auc), base, runs, seed=seed, until_found=True).by_phase * 50 / fixed
    ratio = np.where(seen > 0, seen, np.inf)
    # Those not found by the end count as found there: a lower bound of the mean, said beside the share found.
    mean = float(np.minimum(ratio, looks * 50 / fixed).mean())
    median, high = np.quantile(ratio, (0.5, 0.8), method="inverted_cdf")
    return [f".80 to {auc}", f"{fixed:,.0f}", f"{(seen > 0).mean():.3f}", f"{mean:.2f}", f"{median:.2f}", f"{high:.2f}"]


def at_margin(runs: int, looks: int) -> list[Rate]:
    """False promotions of a canary that is worse by the margin, 2 points, and by a margin of 5 points."""
    rates = []
    for margin in (0.02, 0.05):
        for canary, baseline in ((50, 50), (10, 90)):
            seen = watch(steady(looks, canary, baseline, 0.8 - margin), 0.2, runs, margin=margin)
            rates.append(rate(f"AUC lower by the margin {margin}, {canary}/{baseline}", seen.promoted))
    seen = watch(ramp(looks // 3, 0.02), 0.2, runs, margin=0.02)
    rates.append(rate("AUC lower by the margin 0.02, drift and ramp", seen.promoted))
    seen = watch([Stage(looks, 10, 90, 0.96, 0.98)], 0.2, runs, margin=0.02)
    return [*rates, rate("AUC .98 lower by the margin 0.02, 10/90", seen.promoted)]


def main(runs: int = RUNS) -> None:
    """All tables, in full."""
    rows = []
    for name, base, stages in HEALTHY:
        seen = watch(stages, base, runs)
        ours, pooled = rate(name, seen.by_phase), rate(name, seen.pooled)
        shares = [f"{share:.3f}" for share in (rate(name, seen.usual).share, pooled.share, ours.share)]
        rows.append([name, *shares, "yes" if ours.held else "NO"])
    print(table(["healthy stream", "DeLong p < .05", "pooled", "by phase", "bar held"], rows))
    rows = [delay(0.78, runs, 1200), delay(0.76, runs, 500), delay(0.72, runs, 200)]
    print("\n" + table(["sick canary", "fixed size", "found", "mean ratio", "median", "80 %"], rows))
    rows = [[r.stream, f"{r.share:.3f}", "yes" if r.held else "NO"] for r in at_margin(runs, 400)]
    print("\n" + table(["at the margin", "ever promoted", "bar held"], rows))


if __name__ == "__main__":
    main()
