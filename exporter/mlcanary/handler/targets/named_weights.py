"""The weights of named destinations in one list of a routing object: found by name, changed by one patch.

A patch names a place by its index, so it tests the name there, and the version of the object it was made for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlcanary.errors import ActionError
from mlcanary.handler.targets.contract import Guard, State, check_guard
from mlcanary.handler.targets.kubernetes import KubernetesObject, Object, Operation, foreign_writer, require_traffic


@dataclass(frozen=True, slots=True)
class Destination:
    """One entry: where it is, where its name is, and its weight; `written` if the object says the weight itself."""

    pointer: str
    name_pointer: str
    name: str
    weight: int
    written: bool


Lists = Callable[[Object], Sequence[Sequence[Destination]]]


class RoutingTarget(ABC):
    """A target whose weights lie in one routing object: see `contract.Target`.

    `weights_at` is the path of a weight in the object; whoever manages it there, beside `ignored`, owns the target.
    """

    weighted = True
    weights_at: tuple[str, ...]

    def __init__(self, api: KubernetesObject, versions: Mapping[str, str], ignored: Sequence[str]) -> None:
        self._object = api
        self._ignored = ignored
        self._weights = NamedWeights(api, versions, self.lists)

    @abstractmethod
    def lists(self, found: Object) -> Sequence[Sequence[Destination]]:
        """Every list of destinations in the object that may be meant."""

    async def observe(self) -> State:
        """The weights in the object. What the proxy does with them, only the traffic tells."""
        return await self._weights.observe()

    async def apply(self, desired: State, guard: Guard) -> None:
        """Set all weights in one patch."""
        await self._weights.change(desired, guard, dry_run=False)

    async def complete(self, desired: State, guard: Guard) -> None:  # noqa: B027 - nothing to complete, on purpose
        """The patch is all there is."""

    async def rehearse(self, desired: State, guard: Guard) -> None:
        """The same patch as a dry run of the server, admission included."""
        await self._weights.change(desired, guard, dry_run=True)

    async def owner(self) -> str:
        """Argo Rollouts, Flagger, or a controller that owns the weights."""
        return foreign_writer(await self._object.read(), [self.weights_at], self._ignored)


class NamedWeights:
    """The weights of `versions` (version: destination) in the only list that has all of them."""

    def __init__(self, api: KubernetesObject, versions: Mapping[str, str], lists: Lists) -> None:
        self._object = api
        self._versions = versions
        self._lists = lists

    async def observe(self) -> State:
        """The weights as they are written."""
        return self._state(self._located(await self._object.read()))

    async def change(self, desired: State, guard: Guard, *, dry_run: bool) -> None:
        """Set the weights that differ, all in one patch, if the guard holds."""

        async def plan(found: Object) -> list[Operation]:
            located = self._located(found)
            if not check_guard(self._state(located), desired, guard):
                return []
            require_traffic(desired)
            operations: list[Operation] = []
            for version, weight in desired.weights:
                place = located[version]
                if place.weight == weight and place.written:
                    continue
                verb = "replace" if place.written else "add"
                operations += [
                    {"op": "test", "path": place.name_pointer, "value": place.name},
                    {"op": verb, "path": f"{place.pointer}/weight", "value": weight},
                ]
            return operations

        await self._object.change(plan, dry_run=dry_run)

    def _state(self, located: Mapping[str, Destination]) -> State:
        return State.of({version: place.weight for version, place in located.items()})

    def _located(self, found: Object) -> dict[str, Destination]:
        wanted = set(self._versions.values())
        matching = [entries for entries in self._lists(found) if wanted <= {entry.name for entry in entries}]
        if len(matching) != 1:
            raise ActionError(
                f"{self._object.title}: {len(matching)} lists have all of {', '.join(sorted(wanted))}",
                hint="check versions of the target; with more than one list, name the one that is meant",
            )
        strangers = [entry.name for entry in matching[0] if entry.name not in wanted and entry.weight > 0]
        names = [entry.name for entry in matching[0] if entry.name in wanted]
        if strangers or len(names) != len(wanted):
            found_names = ", ".join(strangers) or "a name twice"
            raise ActionError(
                f"{self._object.title}: found {found_names} beside {', '.join(sorted(wanted))}",
                hint="every destination with traffic must be a version of the target, once",
            )
        places = {entry.name: entry for entry in matching[0]}
        return {version: places[name] for version, name in self._versions.items()}
