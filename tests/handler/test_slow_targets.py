"""Targets whose changes take their time, through the whole handler: waited for, never ordered twice, never believed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handler_service import Handle, handling
from handler_world import BAD, GOOD, QueryAPI, Release, configuration, payload, until
from kubernetes_api import KubernetesAPI
from kubernetes_objects import (
    DEPLOYMENT_HASH,
    IMAGES,
    ROLLOUT_HASH,
    DeploymentController,
    RolloutController,
    deployment,
    place,
    replica_set,
    rollout,
)
from mlcanary.handler.core.incidents import Action, ActionKind, Incident
from mlcanary.handler.core.machines import ActionState, IncidentState
from mlcanary.handler.ledger.store import Ledger
from mlcanary.handler.targets.contract import State

ON, OFF = State.of({GOOD: 0, BAD: 1}), State.of({GOOD: 1, BAD: 0})


def shares(api: KubernetesAPI) -> dict[str, float]:
    """The share of each version's pods, and a trickle that keeps the good one known."""
    images = {image: version for version, image in IMAGES.items()}
    ready = {}
    for replicas in api.all("ReplicaSet"):
        image = replicas["spec"]["template"]["spec"]["containers"][0]["image"]
        ready[images[image]] = float(replicas["status"]["readyReplicas"])
    total = sum(ready.values())
    return {GOOD: max(ready[GOOD] / total, 0.05), BAD: ready[BAD] / total}


def section(api: KubernetesAPI, directory: Path, kind: str, settle: str) -> str:
    """The target's section in the handler's configuration."""
    keys = place(api, directory / "api_token", timeout="2s", settle=settle, type=kind)
    images = ", ".join(f"{version}: '{image}'" for version, image in IMAGES.items())
    return "{" + ", ".join(f"{key}: '{value}'" for key, value in keys.items()) + f", versions: {{{images}}}}}"


@contextlib.asynccontextmanager
async def deployed(*, ready: tuple[int, int] = (0, 3)) -> AsyncIterator[KubernetesAPI]:
    api = KubernetesAPI()
    sets = [("v1", 1, ready[0]), ("v2", 2, ready[1])]
    api.add(deployment(), *(replica_set(v, i, n, hash_label=DEPLOYMENT_HASH, owner="Deployment") for v, i, n in sets))
    async with api.serving():
        yield api


@contextlib.asynccontextmanager
async def handled(directory: Path, api: KubernetesAPI, settle: str, kind: str = "deployment") -> AsyncIterator[Handle]:
    async with QueryAPI(Release(lambda: shares(api))).serving() as queries:
        text = configuration(queries.url, section(api, directory, kind, settle))
        async with handling(directory, text) as handler:
            yield handler


def only_action(handler: Handle) -> Action:
    incident = handler.incident()
    assert incident is not None
    (action,) = handler.service.ledger.actions(incident.id)
    return action


async def test_a_rollout_of_many_steps_is_one_order(tmp_path: Path) -> None:
    async with deployed() as api, handled(tmp_path, api, "20s") as handler:
        api.after_write = [lambda: api.before_read.append(DeploymentController(api).step)]
        await handler.post(payload())
        await until(lambda: handler.state() not in ("", "acting", "verifying"))
        assert (handler.state(), api.writes) == ("resolved", 1)
        assert (only_action(handler).state, only_action(handler).attempt) == ("confirmed", 1)
        assert shares(api) == {GOOD: 1.0, BAD: 0.0}


@pytest.mark.parametrize(("steps", "ends"), [(0, ("failed", "failed", 3)), (2, ("stuck", "unknown", 1))])
async def test_a_rollout_that_does_not_get_on_is_no_success(
    tmp_path: Path, steps: int, ends: tuple[str, str, int]
) -> None:
    async with deployed() as api, handled(tmp_path, api, "300ms") as handler:
        controller = DeploymentController(api)
        api.after_write = [controller.step] * steps
        await handler.post(payload())
        await until(lambda: handler.state() not in ("", "acting"))
        assert (handler.state(), only_action(handler).state, only_action(handler).attempt) == ends
        assert api.writes == 1
        assert handler.count("rollbacks_total", "router", "clicks", "resolved") == 0.0


async def test_a_rollout_that_a_crash_cut_off_is_waited_for_and_not_ordered_again(tmp_path: Path) -> None:
    async with deployed(ready=(2, 1)) as api:
        api.one("Deployment")["spec"]["template"] = deployment("v1")["spec"]["template"]
        now, facts = time.time(), '{"reference":0.9,"reference_stderr":0.005}'
        ledger = Ledger(tmp_path / "handler.sqlite", freeze_file=None, checkpoint=lambda _name: None)
        acting, kind, planned = IncidentState.ACTING, ActionKind.ROLLBACK, ActionState.PLANNED
        incident = Incident("i1", "router", "clicks", BAD, GOOD, "accuracy", "5m", acting, now, now, 0, 0, facts, "")
        action = Action("a1", "i1", "router", kind, OFF, ON, planned, 0, now, 0.0, "")
        assert ledger.plan([], incident, action, allowed=lambda _view: True, body={}, since=0.0, now=now)
        assert ledger.dispatch(action, now)
        ledger.close()
        async with handled(tmp_path, api, "20s") as handler:
            await until(lambda: only_action(handler).attempt == 2)
            api.before_read = [DeploymentController(api).step]
            await until(lambda: handler.state() == "resolved")
            assert (only_action(handler).state, api.writes) == ("confirmed", 0)


async def test_an_aborted_canary_of_argo_is_a_verified_rollback(tmp_path: Path) -> None:
    api = KubernetesAPI()
    sets = [("v1", 1, 2), ("v2", 2, 1)]
    api.add(rollout(), *(replica_set(v, i, n, hash_label=ROLLOUT_HASH, owner="Rollout") for v, i, n in sets))

    def followed() -> None:
        RolloutController(api).step()
        api.all("ReplicaSet")[1]["status"]["readyReplicas"] = 0

    async with api.serving(), handled(tmp_path, api, "20s", "argo_rollouts") as handler:
        api.after_write = [lambda: api.before_read.append(followed)]
        await handler.post(payload())
        await until(lambda: handler.state() not in ("", "acting", "verifying"))
        assert (handler.state(), api.writes, only_action(handler).attempt) == ("resolved", 1, 1)
