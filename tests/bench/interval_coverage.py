"""`python tests/bench/interval_coverage.py`: what is true of intervals and of the split when users are not alike.

How often 95 % intervals hold the truth, and how often a split is called wrong. 2000 draws per row; a share of draws is
itself uncertain by about 1 point.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

from clustered_users import FIGURES, REQUESTS, World, coverage, false_alarms, mismatches  # noqa: E402 - beside this folder, not installed

DRAWS = 2000


def intervals() -> None:
    """Coverage by figure and world."""
    print("| figure | users | requests per user | users differ | event level | user level |\n|---|---|---|---|---|---|")
    for users in (500, 2000, 10_000):
        for requests in REQUESTS:
            for agreement, words in ((5.0, "much"), (50.0, "little")):
                held = coverage(World(users, requests, agreement), DRAWS, seed=20_261_125)
                for figure in FIGURES:
                    shares = f"{100 * held[figure].events:.1f} % | {100 * held[figure].users:.1f} %"
                    print(f"| {figure} | {users} | {requests} | {words} | {shares} |", flush=True)


def comparisons() -> None:
    """Share of draws in which two equal versions, a fifth of the users on the canary, differ at the 5 % level."""
    print("\n| figure | users | requests per user | event level | user level |\n|---|---|---|---|---|")
    for users in (2000, 10_000):
        for requests in REQUESTS:
            arms = [World(users * share // 5, requests, 5.0) for share in (4, 1)]
            told = false_alarms(*arms, DRAWS, 20_261_125)
            for figure in FIGURES:
                shares = f"{100 * told[figure].events:.1f} % | {100 * told[figure].users:.1f} %"
                print(f"| {figure} | {users} | {requests} | {shares} |", flush=True)


def splits() -> None:
    """Share of draws in which a split of 95 to 5 is called wrong: as configured, and 3 points off."""
    print(
        "\n| users | requests per user | sticky | canary gets | over requests | over users |\n|---|---|---|---|---|---|"
    )
    for users in (500, 2000, 20_000):
        for requests in REQUESTS:
            for sticky in (True, False):
                for actual in (0.05, 0.08):
                    world = World(users, requests, 5.0)
                    told = mismatches(world, DRAWS, 20_261_125, configured=0.05, actual=actual, sticky=sticky)
                    shares = f"{100 * told.requests:.2f} % | {100 * told.users:.2f} %"
                    print(f"| {users} | {requests} | {sticky} | {100 * actual:.0f} % | {shares} |", flush=True)


if __name__ == "__main__":
    intervals()
    comparisons()
    splits()
