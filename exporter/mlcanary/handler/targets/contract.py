"""What a rollback target promises: its state can be seen, and set; never stepped or toggled.

Setting a state twice ends where setting it once ends, so an action can be repeated after a crash. That is
why there is no `undo` and no `run` here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from mlcanary.errors import ActionError

MAX_WEIGHT = 256
"""Largest weight that every router at hand accepts (HAProxy's limit)."""

ROUNDING = 0.005
"""How far a share may lie from the one that was asked for."""


@dataclass(frozen=True, slots=True)
class State:
    """Weights of the configured versions, whole numbers >= 0, sorted by version.

    A target that serves one version at a time has weight 1 there and 0 elsewhere.
    """

    weights: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, weights: Mapping[str, int]) -> State:
        """The state with these weights."""
        return cls(tuple(sorted(weights.items())))

    @classmethod
    def only(cls, active: str, versions: Iterable[str]) -> State:
        """The state in which `active` alone serves."""
        return cls.of({version: int(version == active) for version in versions})

    @classmethod
    def split(cls, candidate: str, share: float, stable: str, versions: Iterable[str]) -> State:
        """`candidate` has a share of the traffic and `stable` the rest; weights of a hundred, so a share is a percent.

        >>> State.split("v2", 0.05, "v1", ("v1", "v2", "v3")).weights
        (('v1', 95), ('v2', 5), ('v3', 0))
        """
        percent = round(100 * share)
        return cls.of({**dict.fromkeys(versions, 0), stable: 100 - percent, candidate: percent})

    @property
    def total(self) -> int:
        """Sum of the weights; 0 means that nobody serves."""
        return sum(weight for _, weight in self.weights)

    def weight(self, version: str) -> int:
        """Weight of a version, 0 if it is not known."""
        return dict(self.weights).get(version, 0)

    def share(self, version: str) -> float:
        """Weight of a version as a share of all, in [0, 1]."""
        return self.weight(version) / self.total if self.total else 0.0

    def moved(self, bad: str, good: str) -> State:
        """The state in which `good` has taken over what `bad` had. Versions beside them keep their weight."""
        weights = dict(self.weights)
        weights[good] = min(MAX_WEIGHT, weights.get(good, 0) + weights.get(bad, 0))
        weights[bad] = 0
        return State.of(weights)

    def fulfilled_by(self, seen: State) -> bool:
        """Whether exactly the versions that serve here serve in `seen`, whatever their weights.

        Routers round weights, or allow the configured ones only; who gets nothing is what an action is about.
        """
        return {v for v, weight in self.weights if weight} == {v for v, weight in seen.weights if weight}

    def reached_by(self, seen: State) -> bool:
        """Whether `seen` splits the traffic as this state does, but for rounding: nobody's share is half a percent off.

        Who has nothing here has nothing there. What a step of a release asks; a rollback asks `fulfilled_by`.
        """
        versions = {v for v, _ in (*self.weights, *seen.weights)}
        return self.fulfilled_by(seen) and all(abs(self.share(v) - seen.share(v)) <= ROUNDING for v in versions)

    def to_json(self) -> str:
        """Text for the ledger."""
        return msgspec.json.encode(dict(self.weights), order="sorted").decode()

    @classmethod
    def from_json(cls, text: str) -> State:
        """The state of a text that `to_json` wrote."""
        return cls.of(msgspec.json.decode(text, type=dict[str, int]))


@dataclass(frozen=True, slots=True)
class Unobservable:
    """The target has no way to be read back. `reason` says what to configure."""

    reason: str


@dataclass(frozen=True, slots=True)
class Guard:
    """What must hold for an action to be carried out.

    `action_id` is the same for every attempt of one action. `expected` is the state that was observed when
    the action was planned, None for a target that cannot be observed: a target that finds neither this nor
    the desired state belongs to another writer and must not be written.
    """

    action_id: str
    expected: State | None


class RefusedError(ActionError):
    """The target said no, or was never reached: nothing was changed."""


class ConflictError(ActionError):
    """The target is in neither the expected nor the desired state: somebody else writes it."""


class Target(Protocol):
    """A thing whose state decides which version serves.

    Every method is bounded by the target's timeout and raises ActionError. After an ActionError that is not
    a RefusedError nobody knows what happened: `observe` decides.
    """

    weighted: bool
    """Whether traffic can be split in any proportion: what mode drive needs. False: one version serves at a time."""

    async def observe(self) -> State | Unobservable:
        """The state now. Writes nothing."""

    async def apply(self, desired: State, guard: Guard) -> None:
        """Set the state, if the guard holds. Does nothing in a target that is there already."""

    async def complete(self, desired: State, guard: Guard) -> None:
        """Repeat the harmless last steps (a reload) of an action that was cut off after the state was set."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """Raise what `apply` would raise, as far as can be told without a write (a dry run of the server)."""

    async def owner(self) -> str:
        """Another controller that writes what this target writes, as the target tells; "" if none is seen."""


def check_guard(observed: State, desired: State, guard: Guard) -> bool:
    """Whether there is something to write. Raises ConflictError if a third state is found."""
    if observed == desired:
        return False
    if guard.expected is not None and observed != guard.expected:
        if desired.fulfilled_by(observed):
            return False
        raise ConflictError(
            f"found {observed.to_json()}, neither expected {guard.expected.to_json()} nor desired",
            hint="another writer changed the target; decide by hand",
        )
    return True
