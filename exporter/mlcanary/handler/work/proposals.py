"""What an order of a person would do to a target now, as a plan with a hash; nothing is written.

The same function answers the person who asks and the worker that carries the order out: a plan that is no longer the
same has another hash, and the order is refused.
"""

from __future__ import annotations

from mlcanary.errors import ActionError, MLCanaryError
from mlcanary.handler.core.incidents import ActionKind
from mlcanary.handler.core.plans import Plan
from mlcanary.handler.core.releases import OrderKind
from mlcanary.handler.evidence.prometheus import EvidenceError
from mlcanary.handler.settings import TargetPlan
from mlcanary.handler.sharing import Shared
from mlcanary.handler.targets.contract import State, Unobservable
from mlcanary.handler.work.effect import Effector, Environment
from mlcanary.handler.work.orders import OrderRefusedError, Orders


class ProposalError(MLCanaryError):
    """There is no such plan now; the message says why."""


class Proposals:
    """Plans of one target."""

    def __init__(self, plan: TargetPlan, effector: Effector, environment: Environment, orders: Orders) -> None:
        self._plan = plan
        self._orders = orders
        self._effector = effector
        self._env = environment
        self._asked: Shared[Plan | ProposalError] = Shared(environment.clock)

    async def propose(self, kind: OrderKind, version: str = "") -> Plan:
        """The plan of an order, at most `KEPT_SECONDS` old: many who ask do not look at the target many times.

        Raises ProposalError, also if the target cannot be looked at.

        Input: `version` is the bad one of a rollback (default: the candidate of the open release), or the candidate to
        submit. A promotion is of the open release.
        """
        found = await self._asked.get((kind, version), lambda: self._plan_or_why(kind, version))
        if isinstance(found, ProposalError):
            raise ProposalError(str(found), hint=found.hint)
        return found

    async def _plan_or_why(self, kind: OrderKind, version: str) -> Plan | ProposalError:
        try:
            return await self._propose(kind, version)
        except ProposalError as error:
            return error
        except ActionError as error:
            return ProposalError(f"the target cannot be looked at: {error}", hint=error.hint)

    async def _propose(self, kind: OrderKind, version: str) -> Plan:
        release = self._env.ledger.open_release(self._plan.name)
        if kind is OrderKind.ROLLBACK:
            return await self._rollback(version or (release.candidate if release else ""))
        observed = await self._effector.observe()
        if kind is OrderKind.PROMOTE:
            if release is None:
                raise ProposalError("no release is open, so nothing can be promoted", hint="submit a version first")
            return self._split(release.candidate, release.stable, 100, observed)
        if kind is OrderKind.SUBMIT:
            if release is not None:
                raise ProposalError(f"the release of {release.candidate} is open", hint="withdraw it or let it end")
            return self._first_step(self._known(version), observed)
        raise ProposalError(f"an order to {kind} changes no weights")

    async def _rollback(self, bad: str) -> Plan:
        try:
            found = await self._orders.consider(self._known(bad))
        except (OrderRefusedError, EvidenceError) as error:
            raise ProposalError(str(error), hint=error.hint) from error
        proposal, good = found.proposal, found.decision.destination
        return self._of(ActionKind.ROLLBACK, bad, good, proposal.desired, proposal.expected)

    def _first_step(self, candidate: str, observed: State | Unobservable) -> Plan:
        if not isinstance(observed, State) or not observed.total:
            raise ProposalError("the target does not tell who serves, so nothing can be released beside it")
        stable = max(observed.weights, key=lambda pair: pair[1])[0]
        if stable == candidate:
            raise ProposalError(f"{candidate} has most of the traffic already")
        return self._split(candidate, stable, self._plan.release.steps[0], observed)

    def _split(self, candidate: str, stable: str, percent: int, observed: State | Unobservable) -> Plan:
        desired = State.split(candidate, percent / 100, stable, self._plan.versions)
        expected = observed if isinstance(observed, State) else None
        return self._of(ActionKind.STEP, candidate, stable, desired, expected)

    def _of(self, kind: ActionKind, version: str, destination: str, desired: State, expected: State | None) -> Plan:
        plan = self._plan
        return Plan(plan.name, kind, version, destination, desired, expected, plan.configuration)

    def _known(self, version: str) -> str:
        if version not in self._plan.versions:
            raise ProposalError(
                f"no version {version!r} on this target" if version else "no version is named and no release is open",
                hint=f"there are {', '.join(self._plan.versions)}",
            )
        return version
