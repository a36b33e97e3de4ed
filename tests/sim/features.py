"""`python tests/sim/features.py [runs]`: evidence on features under values of known truth, beside usual drift tests.

Healthy streams: how often evidence or test EVER calls a healthy feature changed. Changes: rows until one is found, as a
multiple of what one Kolmogorov-Smirnov or chi-square test of a size fixed beforehand needs for a power of 80 %.
Families: 200 features at once, and whom e-BH names at the stop.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

sys.path[:0] = [str(Path(__file__).parents[1])]

from mlcanary.stats.accumulator import Floats  # noqa: E402 - after the path
from mlcanary.stats.category_evidence import CategoriesEvidence  # noqa: E402
from mlcanary.stats.evidence_family import e_bh, mean_log_e  # noqa: E402
from mlcanary.stats.feature_evidence import Counts, FeaturesEvidence  # noqa: E402
from mlcanary.stats.reference_evidence import reference_log_e  # noqa: E402
from sim.bars import SEED, Rate, table  # noqa: E402
from sim.feature_worlds import (  # noqa: E402
    BINS,
    CATEGORIES,
    CONTAMINATION,
    FINE,
    IMPUTED,
    NONE,
    SCALE,
    Change,
    below_the_edges,
    chi_square,
    coarse,
    fewer_of_the_first,
    fixed_size_of_chi_square,
    fixed_size_of_ks,
    ks_rejects,
    psi,
    shift,
    twice_as_many_of_a_rare_one,
)

RUNS = 2000
ALPHA = 0.05
THRESHOLD = math.log(1 / ALPHA)
BAR = 2.0
"""Mean delay over the fixed size."""
FEATURES = 200
TOGETHER = 20
"""Runs of 200 features that are kept in memory at once."""

STOPS = 20
"""Runs of the table on e-BH."""

BURSTS = ("", " in bursts of equal rows")

Evidence = FeaturesEvidence | CategoriesEvidence


@dataclass(frozen=True, slots=True)
class Healthy:
    """How often our evidence ever fired, and how often each of the usual tests did."""

    ours: Rate
    practice: dict[str, float]


@dataclass(frozen=True, slots=True)
class Delay:
    """Rows until a change was found, in each run; `fixed`: those of the best fixed size."""

    change: str
    fixed: int
    rows: Floats

    @property
    def ratio(self) -> float:
        """Mean over the fixed size."""
        return float(self.rows.mean()) / self.fixed

    def cells(self) -> list[str]:
        """Change, fixed size, mean, median and 80 % quantile of the ratio."""
        ratios = (self.ratio, *(float(np.quantile(self.rows, q)) / self.fixed for q in (0.5, 0.8)))
        return [self.change, f"{self.fixed:,}", *(f"{ratio:.2f}" for ratio in ratios)]


def reference_healthy(rows: int, looks: int, block: int, runs: int, rng: np.random.Generator) -> Healthy:
    """One numeric feature against a reference of `rows` rows; `block` new rows before each of so many looks."""
    shares = NONE.shares(below_the_edges(rows, runs, rng))
    reference = np.full(BINS, rows / BINS)
    flat = np.full(FINE, 1.0)
    total = np.zeros((runs, FINE), dtype=np.int64)
    windows = {size: np.zeros_like(total) for size in (50, 100, 200, 500, 1000) if block <= 50}
    past: deque[Counts] = deque(maxlen=1000 // block + 1)
    ours = np.zeros(runs, dtype=np.bool_)
    usual: dict[str, NDArray[np.bool_]] = {}

    def note(name: str, fired: NDArray[np.bool_]) -> None:
        usual[name] = usual.get(name, np.zeros(runs, dtype=np.bool_)) | fired

    for look in range(1, looks + 1):
        new = rng.multinomial(block, shares)
        total += new
        past.append(new)
        ours |= reference_log_e(reference, coarse(total), numeric=True) >= THRESHOLD
        note("KS p<.05, all rows", ks_rejects(total, flat, rows))
        note("one-sample KS", ks_rejects(total, flat, math.inf))
        for size, window in windows.items():
            np.add(window, new - (past[-1 - size // block] if look * block > size else 0), out=window)
            if look * block >= size:
                if size >= 500:
                    note(f"KS p<.05, last {size:,}", ks_rejects(window, flat, rows))
                else:
                    note(f"PSI>.2, last {size}", psi(coarse(window, 10), np.full(10, 0.1)) > 0.2)
    name = f"numeric against a reference of {rows:,}, to {looks * block:,} rows"
    fired = int(ours.sum())
    return Healthy(Rate(name, fired, runs, ALPHA), {name: float(hit.mean()) for name, hit in usual.items()})


def numeric_healthy(looks: int, block: int, copies: int, runs: int, rng: np.random.Generator) -> Healthy:
    """One numeric feature of two arms, `block` rows per arm before each look; users send `copies` equal rows."""
    evidence = FeaturesEvidence([(BINS, False)], shape=(runs,))
    total = np.zeros((2, runs, FINE), dtype=np.int64)
    ours, usual = np.zeros(runs, dtype=np.bool_), np.zeros(runs, dtype=np.bool_)
    for _ in range(looks):
        new = copies * rng.multinomial(block // copies, np.full(FINE, 1.0 / FINE), size=(2, runs))
        total += new
        evidence.update([coarse(new[0])], [coarse(new[1])])
        ours |= evidence.log_e()[:, 0] >= THRESHOLD
        usual |= ks_rejects(total[0], total[1], float(total[1, 0].sum()))
    name = f"numeric{BURSTS[copies > 1]}, canary and baseline, to {looks * block:,} per arm"
    rate = Rate(name, int(ours.sum()), runs, ALPHA)
    return Healthy(rate, {"KS p<.05, all rows": float(usual.mean())})


def categorical_healthy(looks: int, block: int, copies: int, runs: int, rng: np.random.Generator) -> Healthy:
    """One categorical feature of two arms, `block` rows per arm before each look; users send `copies` equal rows."""
    evidence = CategoriesEvidence([len(CATEGORIES)], shape=(runs,))
    total = np.zeros((2, runs, len(CATEGORIES)), dtype=np.int64)
    ours, usual = np.zeros(runs, dtype=np.bool_), np.zeros(runs, dtype=np.bool_)
    critical = float(chi2.ppf(0.95, len(CATEGORIES) - 1))
    for _ in range(looks):
        new = copies * rng.multinomial(block // copies, CATEGORIES, size=(2, runs))
        total += new
        evidence.update([new[0]], [new[1]])
        ours |= evidence.log_e()[:, 0] >= THRESHOLD
        usual |= chi_square(total[0], total[1]) > critical
    name = f"10 categories{BURSTS[copies > 1]}, canary and baseline, to {looks * block:,} per arm"
    rate = Rate(name, int(ours.sum()), runs, ALPHA)
    return Healthy(rate, {"chi-square p<.05": float(usual.mean())})


def family_healthy(features: int, looks: int, block: int, runs: int, rng: np.random.Generator) -> Healthy:
    """Many numeric features of two arms: the mean of their evidence; KS of each, on all rows and on the last block."""
    fired, usual = 0, np.zeros(4, dtype=np.int64)
    even = np.full(BINS, 1.0 / BINS)
    for begun in range(0, runs, TOGETHER):
        size = min(TOGETHER, runs - begun)
        evidence = FeaturesEvidence([(BINS, False)] * features, shape=(size,))
        total = np.zeros((2, size, features, BINS), dtype=np.int64)
        ours, hits = np.zeros(size, dtype=np.bool_), np.zeros((4, size), dtype=np.bool_)
        for _ in range(looks):
            new = rng.multinomial(block, even, size=(2, size, features))
            total += new
            evidence.update(by_feature(new[0]), by_feature(new[1]))
            ours |= mean_log_e(evidence.log_e()) >= THRESHOLD
            for row, (counts, tail) in enumerate(
                (counts, tail) for counts in (total, new) for tail in (0.05, 0.05 / features)
            ):
                hits[row] |= ks_rejects(counts[0], counts[1], float(counts[1, 0, 0].sum()), tail).any(axis=-1)
        fired += int(ours.sum())
        usual += hits.sum(axis=1)
    names = ("KS p<.05, all rows", "KS Bonferroni, all rows", f"KS p<.05, last {block}", f"KS Bonferroni, last {block}")
    rate = Rate(f"{features} features, to {looks * block:,} per arm", fired, runs, ALPHA)
    return Healthy(rate, dict(zip(names, (usual / runs).tolist(), strict=True)))


def by_feature(counts: Counts) -> list[Counts]:
    """Counts of shape (runs, features, bins), feature by feature."""
    return list(np.moveaxis(counts, 1, 0))


def look_size(fixed: int) -> int:
    """New rows before a look: 50, or few enough for some looks before the fixed size."""
    return 50 if fixed >= 500 else 10


def reference_delay(change: Change, rows: int, fixed: int, runs: int, rng: np.random.Generator) -> Delay:
    """A changed numeric feature against a reference of `rows` rows, for which the best fixed size is `fixed`."""
    block = look_size(fixed)
    # A value that becomes the median falls into one bin, which only the fine edges place.
    shares = coarse(change.shares(below_the_edges(rows, runs, rng)))
    reference, counts = np.full(BINS, rows / BINS), np.zeros((runs, BINS), dtype=np.int64)
    found = np.full(runs, math.inf)
    looks = 0
    while (open_runs := np.flatnonzero(np.isinf(found))).size and looks * block < 20 * fixed:
        looks += 1
        counts[open_runs] += rng.multinomial(block, shares[open_runs] / shares[open_runs].sum(axis=1, keepdims=True))
        fired = reference_log_e(reference, counts[open_runs], numeric=True) >= THRESHOLD
        found[open_runs[fired]] = looks * block
    return Delay(f"{change.name}, reference", fixed, found)


def arms_delay(
    name: str, fixed: int, evidence: Evidence, arms: tuple[Floats, Floats], runs: int, rng: np.random.Generator
) -> Delay:
    """One feature of two arms with these shares per bin; runs go on together until all have found it."""
    block = look_size(fixed)
    found = np.full(runs, math.inf)
    looks = 0
    while np.isinf(found).any() and looks * block < 20 * fixed:
        looks += 1
        evidence.update([rng.multinomial(block, arms[0], size=runs)], [rng.multinomial(block, arms[1], size=runs)])
        fired = evidence.log_e()[:, 0] >= THRESHOLD
        found[fired & np.isinf(found)] = looks * block
    return Delay(f"{name}, baseline", fixed, found)


def numeric_delay(change: Change, fixed: int, runs: int, rng: np.random.Generator) -> Delay:
    """A changed numeric feature against the baseline, for which the best fixed size is `fixed` per arm."""
    below = np.arange(1, FINE) / FINE
    arms = (coarse(change.shares(below)), np.full(BINS, 1.0 / BINS, dtype=np.float64))
    return arms_delay(change.name, fixed, FeaturesEvidence([(BINS, False)], shape=(runs,)), arms, runs, rng)


def categorical_delay(name: str, change: Callable[[Floats], Floats], runs: int, rng: np.random.Generator) -> Delay:
    """A changed categorical feature against the baseline."""
    after = change(CATEGORIES)
    fixed = fixed_size_of_chi_square(CATEGORIES, after)
    evidence = CategoriesEvidence([len(CATEGORIES)], shape=(runs,))
    return arms_delay(name, fixed, evidence, (after, CATEGORIES), runs, rng)


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the mean over a family stopped, and whom e-BH named there: how many, and how many of them were healthy."""

    rows: Floats
    named: Counts
    innocent: Counts
    bad: int

    @property
    def false_discovery_rate(self) -> float:
        """Mean share of healthy features among those named."""
        return float((self.innocent / np.maximum(self.named, 1)).mean())

    @property
    def discovered(self) -> float:
        """Mean share of changed features that were named."""
        return float((self.named - self.innocent).mean()) / self.bad


def family_stop(change: Change, bad: int, features: int, block: int, runs: int, rng: np.random.Generator) -> Stop:
    """`bad` of the features change in the canary; `block` rows per arm before each look."""
    shares = np.full((features, BINS), 1.0 / BINS)
    shares[:bad] = coarse(change.shares(np.arange(1, FINE) / FINE))
    found, named, innocent = (np.zeros(runs) for _ in range(3))
    for begun in range(0, runs, TOGETHER):
        size = min(TOGETHER, runs - begun)
        evidence = FeaturesEvidence([(BINS, False)] * features, shape=(size,))
        looks, going = 0, np.ones(size, dtype=np.bool_)
        while going.any():
            looks += 1
            canary = rng.multinomial(block, shares, size=(size, features))
            evidence.update(by_feature(canary), by_feature(rng.multinomial(block, shares[-1], size=(size, features))))
            log_e = evidence.log_e()
            for run in np.flatnonzero(going & (mean_log_e(log_e) >= THRESHOLD)):
                guilty = e_bh(log_e[run], ALPHA)
                found[begun + run], going[run] = looks * block, False
                named[begun + run], innocent[begun + run] = len(guilty), (guilty >= bad).sum()
    return Stop(found, named.astype(np.int64), innocent.astype(np.int64), bad)


def healthy(runs: int) -> Iterator[Healthy]:
    """All healthy streams of the full table; those of edges and many features with fewer runs."""
    rng = np.random.default_rng(SEED)
    yield reference_healthy(10_000, 400, 50, runs, rng)
    yield reference_healthy(1_000, 400, 50, runs, rng)
    yield reference_healthy(1_000, 400, 500, runs, rng)
    yield categorical_healthy(400, 50, 1, runs, rng)
    yield categorical_healthy(200, 50, 5, runs // 2, rng)
    yield numeric_healthy(400, 50, 1, runs // 4, rng)
    yield numeric_healthy(200, 50, 5, runs // 4, rng)
    yield family_healthy(FEATURES, 40, 500, max(TOGETHER, runs // 40), rng)


def delays(runs: int, rng: np.random.Generator) -> Iterator[Delay]:
    """All changes of the full table."""
    for change in (shift(0.1), shift(0.2), shift(0.5), SCALE, CONTAMINATION, IMPUTED):
        yield reference_delay(change, 10_000, fixed_size_of_ks(change, 10_000, runs, rng), runs, rng)
    for change in (shift(0.2), SCALE, IMPUTED):
        yield numeric_delay(change, fixed_size_of_ks(change, None, runs, rng), runs // 4, rng)
    yield categorical_delay("top category -5 points", fewer_of_the_first, runs // 2, rng)
    yield categorical_delay("rare category doubles", twice_as_many_of_a_rare_one, runs // 2, rng)


def usual(practice: dict[str, float]) -> str:
    """What the usual tests did, in one cell."""
    return "; ".join(f"{name}: {share:.3f}" for name, share in practice.items())


def show(header: Sequence[str], row: Sequence[str] | None = None) -> None:
    """A row of a table as soon as it is known; the header without one."""
    print(table(header, []) if row is None else "| " + " | ".join(row) + " |", flush=True)


def main(runs: int) -> None:
    """The tables; full ones with `RUNS` runs."""
    header = ("healthy stream", "runs", "usual practice, ever", "evidence, ever", "promised")
    show(header)
    for row in healthy(runs):
        cells = (row.ours.stream, f"{row.ours.runs:,}", usual(row.practice), f"{row.ours.share:.3f}", f"{ALPHA:g}")
        show(header, cells)
    rng = np.random.default_rng(SEED)
    print()
    header = ("change", "fixed size", "mean", "median", "p80")
    show(header)
    for delay in delays(runs, rng):
        show(header, delay.cells())
    print()
    header = ("of 200 features change", "runs", "median rows per arm", "e-BH finds", "false discovery rate")
    show(header)
    for change in (shift(0.2), SCALE):
        for bad in (1, 5):
            stop = family_stop(change, bad, FEATURES, 100, STOPS, rng)
            found = (f"{np.median(stop.rows):,.0f}", f"{stop.discovered:.2f}", f"{stop.false_discovery_rate:.3f}")
            show(header, (f"{bad}: {change.name}", f"{STOPS}", *found))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
