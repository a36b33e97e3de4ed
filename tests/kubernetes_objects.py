"""Objects for the small Kubernetes API as a cluster holds them, and what their controllers do after a write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes_api import NAMESPACE, KubernetesAPI, Object

IMAGES = {"v1": "registry.example/model:v1", "v2": "registry.example/model:v2"}
HASHES = {"v1": "6f7d8c9b5", "v2": "7c5b6d8f9", "v3": "5d9f8b7c6"}
UID = "0b1c2d3e-0000-4000-8000-000000000001"


def place(api: KubernetesAPI, token_file: Path, name: str = "clicks", **changes: object) -> dict[str, Any]:
    """The keys that say where an object is."""
    token_file.write_text(f"{api.token}\n", encoding="ascii")
    return {
        "name": name,
        "namespace": NAMESPACE,
        "server": api.url,
        "bearer_token_file": str(token_file),
        "timeout": 5.0,
        **changes,
    }


def template(version: str, image: str, *, hash_label: str = "", **labels: str) -> Object:
    """A pod template as the server returns it: with its defaults."""
    hashed = {hash_label: HASHES[version]} if hash_label else {}
    return {
        "metadata": {"creationTimestamp": None, "labels": {"app": "clicks", **hashed, **labels}},
        "spec": {
            "containers": [
                {
                    "name": "server",
                    "image": image,
                    "env": [{"name": "MODEL", "value": version}],
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "imagePullPolicy": "IfNotPresent",
                }
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
        },
    }


def replica_set(version: str, revision: int, ready: int, *, hash_label: str, owner: str, image: str = "") -> Object:
    """One ReplicaSet of a Deployment or a Rollout."""
    prefix = "deployment.kubernetes.io" if owner == "Deployment" else "rollout.argoproj.io"
    return {
        "kind": "ReplicaSet",
        "apiVersion": "apps/v1",
        "metadata": {
            "name": f"clicks-{HASHES[version]}",
            "uid": f"0b1c2d3e-0000-4000-8000-00000000010{revision}",
            "labels": {"app": "clicks", hash_label: HASHES[version]},
            "annotations": {
                f"{prefix}/revision": str(revision),
                f"{prefix}/desired-replicas": "3",
                "kubernetes.io/change-cause": f"release {version}",
            },
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": owner, "name": "clicks", "uid": UID, "controller": True}
            ],
        },
        "spec": {
            "replicas": ready,
            "selector": {"matchLabels": {"app": "clicks", hash_label: HASHES[version]}},
            "template": template(version, image or IMAGES.get(version, f"model:{version}"), hash_label=hash_label),
        },
        "status": {"replicas": ready, "readyReplicas": ready, "observedGeneration": 1},
    }


DEPLOYMENT_HASH, ROLLOUT_HASH = "pod-template-hash", "rollouts-pod-template-hash"


def deployment(version: str = "v2") -> Object:
    """A Deployment of three pods, rolled out."""
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {
            "name": "clicks",
            "uid": UID,
            "annotations": {
                "deployment.kubernetes.io/revision": "2",
                "kubernetes.io/change-cause": "release v2",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
            },
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "clicks"}},
            "template": template(version, IMAGES[version]),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        },
        "status": {
            "observedGeneration": 1,
            "replicas": 3,
            "updatedReplicas": 3,
            "readyReplicas": 3,
            "availableReplicas": 3,
            "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}],
        },
    }


@dataclass
class DeploymentController:
    """Replaces one pod each time the Deployment is read."""

    api: KubernetesAPI
    idle: bool = False

    def step(self) -> None:
        """Move one pod to the version that is asked for."""
        if self.idle:
            return
        wanted = self.api.one("Deployment")
        sets = {s["spec"]["template"]["spec"]["containers"][0]["image"]: s for s in self.api.all("ReplicaSet")}
        new = sets[wanted["spec"]["template"]["spec"]["containers"][0]["image"]]
        old = [s for s in sets.values() if s is not new and s["status"]["readyReplicas"] > 0]
        if new["status"]["readyReplicas"] == wanted["spec"]["replicas"] and not old:
            reason = "NewReplicaSetAvailable"
        else:
            reason = "ReplicaSetUpdated"
            new["status"]["readyReplicas"] += 1
            if old:
                old[0]["status"]["readyReplicas"] -= 1
        total = sum(s["status"]["readyReplicas"] for s in sets.values())
        wanted["status"].update(
            observedGeneration=wanted["metadata"]["generation"],
            replicas=total,
            updatedReplicas=new["status"]["readyReplicas"],
            availableReplicas=total,
            conditions=[{"type": "Progressing", "status": "True", "reason": reason}],
        )


def rollout(stable: str = "v1", current: str = "v2", weight: int = 20) -> Object:
    """A Rollout in the middle of a canary, with a traffic router."""
    return {
        "kind": "Rollout",
        "apiVersion": "argoproj.io/v1alpha1",
        "metadata": {"name": "clicks", "uid": UID, "annotations": {"rollout.argoproj.io/revision": "2"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "clicks"}},
            "template": template(current, IMAGES[current]),
            "strategy": {"canary": {"steps": [{"setWeight": 20}, {"pause": {}}]}},
        },
        "status": {
            "currentPodHash": HASHES[current],
            "stableRS": HASHES[stable],
            "phase": "Paused",
            "canary": {"weights": {"canary": {"weight": weight}, "stable": {"weight": 100 - weight}}},
        },
    }


@dataclass
class RolloutController:
    """Does what Argo Rollouts does after a write; `idle` for a controller that has not looked yet."""

    api: KubernetesAPI
    idle: bool = False

    def step(self) -> None:
        """Follow the template, an abort, or a full promotion."""
        if self.idle:
            return
        found = self.api.one("Rollout")
        status, weights = found["status"], found["status"]["canary"]["weights"]
        image = found["spec"]["template"]["spec"]["containers"][0]["image"]
        current = next(h for v, h in HASHES.items() if IMAGES.get(v, f"model:{v}") == image)
        if status["currentPodHash"] != current:
            status.update(currentPodHash=current, abort=False, promoteFull=False, phase="Progressing")
        if status.get("promoteFull") or status["currentPodHash"] == status["stableRS"]:
            status.update(stableRS=current, promoteFull=False, abort=False, phase="Healthy")
        if status.get("abort"):
            status["phase"] = "Degraded"
        if status.get("abort") or status["currentPodHash"] == status["stableRS"]:
            weights.update(canary={"weight": 0}, stable={"weight": 100})


def virtual_service(stable: int = 90, canary: int = 10) -> Object:
    """A VirtualService with a route by header and a split."""
    return {
        "kind": "VirtualService",
        "apiVersion": "networking.istio.io/v1beta1",
        "metadata": {"name": "clicks"},
        "spec": {
            "hosts": ["clicks"],
            "http": [
                {
                    "name": "testers",
                    "match": [{"headers": {"x-canary": {"exact": "yes"}}}],
                    "route": [{"destination": {"host": "clicks", "subset": "canary"}}],
                },
                {
                    "name": "split",
                    "route": [
                        {"destination": {"host": "clicks", "subset": "stable"}, "weight": stable},
                        {"destination": {"host": "clicks", "subset": "canary"}, "weight": canary},
                    ],
                },
            ],
        },
    }


def istio_admission(found: Object) -> str:
    """Istio's validation of weights."""
    for http in found["spec"]["http"]:
        if len(http["route"]) > 1 and sum(route.get("weight", 0) for route in http["route"]) == 0:
            return "configuration is invalid: total destination weight = 0"
    return ""


def http_route(stable: int = 90, canary: int = 10) -> Object:
    """An HTTPRoute with a split."""
    return {
        "kind": "HTTPRoute",
        "apiVersion": "gateway.networking.k8s.io/v1",
        "metadata": {"name": "clicks"},
        "spec": {
            "parentRefs": [{"name": "gateway"}],
            "rules": [
                {
                    "backendRefs": [
                        {"group": "", "kind": "Service", "name": "clicks-stable", "port": 80, "weight": stable},
                        {"group": "", "kind": "Service", "name": "clicks-canary", "port": 80, "weight": canary},
                    ]
                }
            ],
        },
    }


def knative_service(percent: int = 10) -> Object:
    """An InferenceService in mode Serverless with a canary."""
    return {
        "kind": "InferenceService",
        "apiVersion": "serving.kserve.io/v1beta1",
        "metadata": {"name": "clicks", "annotations": {}},
        "spec": {"predictor": {"canaryTrafficPercent": percent, "model": {"storageUri": "s3://models/v2"}}},
        "status": {
            "deploymentMode": "Serverless",
            "components": {
                "predictor": {
                    "latestCreatedRevision": "clicks-predictor-00002",
                    "latestReadyRevision": "clicks-predictor-00002",
                    "latestRolledoutRevision": "clicks-predictor-00001",
                    "traffic": [
                        {"latestRevision": True, "percent": percent, "revisionName": "clicks-predictor-00002"},
                        {"percent": 100 - percent, "revisionName": "clicks-predictor-00001", "tag": "prev"},
                    ],
                }
            },
        },
    }


def standard_service(percent: int = 10) -> Object:
    """An InferenceService in mode Standard with a canary."""
    return {
        "kind": "InferenceService",
        "apiVersion": "serving.kserve.io/v1beta1",
        "metadata": {"name": "clicks", "annotations": {"serving.kserve.io/deploymentMode": "Standard"}},
        "spec": {
            "predictor": {"model": {"storageUri": "s3://models/v1"}, "minReplicas": 4},
            "canary": [
                {"trafficPercent": percent, "predictor": {"name": "v2", "model": {"storageUri": "s3://models/v2"}}}
            ],
        },
        "status": {
            "deploymentMode": "Standard",
            "components": {"predictor": {}},
            "canaryStatuses": [{"name": "v2", "ready": True, "trafficPercent": percent}],
        },
    }


def kserve_admission(found: Object) -> str:
    """KServe's validation of canaries."""
    canaries = found["spec"].get("canary", [])
    if canaries and found["metadata"]["annotations"].get("serving.kserve.io/deploymentMode") != "Standard":
        return "canary is only supported in Standard deployment mode"
    total = sum(canary["trafficPercent"] for canary in canaries)
    return f"sum of canary trafficPercent values ({total}) must be <= 100" if total > 100 else ""


@dataclass
class KServeController:
    """Brings `status` to what `spec` asks for. In mode Serverless it follows `ksvc_reconciler.go`."""

    api: KubernetesAPI
    idle: bool = False

    def step(self) -> None:
        """One reconciliation."""
        if self.idle:
            return
        found = self.api.one("InferenceService")
        if found["status"]["deploymentMode"] == "Standard":
            found["status"]["canaryStatuses"] = [
                {"name": canary["predictor"]["name"], "ready": True, "trafficPercent": canary["trafficPercent"]}
                for canary in found["spec"]["canary"]
            ]
            return
        component = found["status"]["components"]["predictor"]
        percent = found["spec"]["predictor"].get("canaryTrafficPercent")
        latest, last = component["latestReadyRevision"], component["latestRolledoutRevision"]
        if percent is None or percent == 100:
            component["traffic"] = [{"latestRevision": True, "percent": 100, "revisionName": latest}]
            if last != latest:
                component.update(previousRolledoutRevision=last, latestRolledoutRevision=latest)
            return
        component["traffic"] = [
            {"latestRevision": True, "percent": percent, "revisionName": latest},
            {"latestRevision": False, "percent": 100 - percent, "revisionName": last, "tag": "prev"},
        ]
        if last == latest:  # rolled out and rolled back: the next reconciliation finds the revision before
            component["latestRolledoutRevision"] = component["previousRolledoutRevision"]
