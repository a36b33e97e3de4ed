"""Who sees which fault, and how often each figure cries without one: `python tests/bench/drift_faults.py [DRAWS]`.

Every draw has a reference and live values of its own; in the last table the windows of a draw share a reference. Takes
about six minutes for 10,000 draws per feature, and one more for the last table.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from drift_worlds import (
    FAULTS,
    HEALTHY,
    LIMITS,
    LIVE,
    MANY_NAMES,
    REFERENCE,
    SEEN_BY,
    chosen_and_counted_on_all_rows,
    figures,
    profiled,
    seen,
)

FAULT_DRAWS = 200
WINDOWS = (200, 1000, 2000, 8000)
CHOICES = {"all rows": chosen_and_counted_on_all_rows, "as shipped": profiled}
MOVED = "total variation over feature_change"
OF_NAMES = ("PSI", "chi-square", "Le Cam", "bin z", MOVED, "MLCanaryFeatureDrift", "MLCanaryFeatureChanged")
COLUMNS = (*SEEN_BY, "missing z", "MLCanaryFeatureDrift", "MLCanaryFeatureChanged")


def main(draws: int) -> None:
    """Print tables in Markdown: share of faults seen, false alarms, and these where names are more than bins."""
    rng = np.random.default_rng(20_261_125)
    print(f"Share of {FAULT_DRAWS} draws in which the fault is seen; n = {LIVE:,}, reference {REFERENCE:,}.\n")
    _heading(("fault", "feature", *COLUMNS))
    for fault in FAULTS:
        counts: dict[str, int] = defaultdict(int)
        for _ in range(FAULT_DRAWS):
            reference = profiled(HEALTHY[fault.feature](rng, REFERENCE))
            for name, yes in seen(figures(reference, fault.broken(rng, LIVE))).items():
                counts[name] += yes
        _row(
            fault.name,
            fault.feature,
            *(f"{counts[name] / FAULT_DRAWS:.3g}" if name in counts else "–" for name in COLUMNS),
        )
    for n in (LIVE, 200):
        print(f"\nFalse alarms in {draws:,} healthy draws, and the largest figure / critical value; n = {n:,}.\n")
        _heading(("feature", *COLUMNS))
        for feature in HEALTHY:
            alarms, largest = _false_alarms(rng, feature, n, draws)
            _row(feature, *(f"{alarms[c]}{largest.get(c, '')}" if c in alarms else "–" for c in COLUMNS))
    _many_names(FAULT_DRAWS)


def _many_names(draws: int) -> None:
    rows = 8000
    print(f"\nShare of {draws:,} healthy windows beyond the critical value; reference {rows:,}, 50 bins.\n")
    _heading(("names", "n", "choice and counts from", *OF_NAMES))
    for world, column in MANY_NAMES.items():
        rng = np.random.default_rng(20_261_126)
        counts: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
        for _ in range(draws):
            before = column(rng, rows)
            windows = [column(rng, n) for n in WINDOWS]
            for choice, choose in CHOICES.items():
                reference = choose(before)
                for n, live in zip(WINDOWS, windows, strict=True):
                    found = figures(reference, live)
                    passed = seen(found) | {MOVED: found["total_variation_ratio"] > LIMITS["feature_change"]}
                    counts[n, choice].update(name for name, yes in passed.items() if yes)
        for (n, choice), often in sorted(counts.items()):
            _row(world, f"{n:,}", choice, *(f"{often[name] / draws:.4g}" for name in OF_NAMES))


def _false_alarms(rng: np.random.Generator, feature: str, n: int, draws: int) -> tuple[dict[str, int], dict[str, str]]:
    alarms: dict[str, int] = defaultdict(int)
    largest: dict[str, float] = defaultdict(float)
    for _ in range(draws):
        found = figures(profiled(HEALTHY[feature](rng, REFERENCE)), HEALTHY[feature](rng, n))
        for name, yes in seen(found).items():
            alarms[name] += yes
        for name, (value, limit) in SEEN_BY.items():
            if value in found and limit in found:
                largest[name] = max(largest[name], found[value] / found[limit])
    return alarms, {name: f" ({ratio:.2f})" for name, ratio in largest.items()}


def _heading(names: tuple[str, ...]) -> None:
    _row(*names)
    _row(*("---" for _ in names))


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
