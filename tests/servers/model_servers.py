"""Real model servers as child processes on loopback, from the virtual environments that `make servers` sets up.

Each serves the model `churn` in versions v1 and v2. A server runs in a process group of its own, which is ended as a
whole: some start workers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from formats.same_traffic import FEATURES, Call
from own_ports import free_port

VENVS = Path(__file__).parents[2] / ".venv-servers"
START_SECONDS = 90.0

_TRAIN = """
import sys
import joblib, pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

for version, weight in (("v1", 1.0), ("v2", -1.0)):
    rows = pd.DataFrame({"age": [20.0, 80.0, 30.0, 70.0] * 3, "balance": [1.0, 200.0, 50.0, 120.0] * 3,
                         "plan": ["free", "pro", "team"] * 4})
    columns = make_column_transformer((OneHotEncoder(), ["plan"]), (StandardScaler(), ["age", "balance"]))
    model = make_pipeline(columns, LogisticRegression()).fit(rows, (weight * (rows["age"] - 50) > 0).astype(int))
    joblib.dump(model, f"{sys.argv[1]}/{version}/model.joblib")
"""

_KSERVE = """
import math, sys
from kserve import InferOutput, InferResponse, Model, ModelServer

class Churn(Model):
    def __init__(self, name, weight):
        super().__init__(name)
        self.weight = weight
        self.ready = True

    def share(self, age, balance, plan):
        odds = self.weight * (age - 50.0) / 20.0 + balance / 500.0 - (plan == "team")
        return 1.0 / (1.0 + math.exp(-odds))

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, dict):
            return {"predictions": [self.share(*row) for row in payload["instances"]]}
        rows = list(zip(*(tensor.data for tensor in payload.inputs)))
        shares = [share for row in rows for share in (1.0 - self.share(*row), self.share(*row))]
        output = InferOutput(name="predict_proba", shape=[len(rows), 2], datatype="FP64", data=shares)
        return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])

if __name__ == "__main__":
    port = sys.argv.pop()
    sys.argv += ["--http_port", port, "--enable_grpc", "false", "--enable_docs_url", "false"]
    models = [Churn("churn-v1", 1.0), Churn("churn-v2", -1.0)]
    ModelServer(http_port=int(port), enable_grpc=False, workers=1).start(models)
"""


def missing(name: str) -> str:
    """Why the tests of a server are skipped; empty if it is set up."""
    return "" if (VENVS / name / ".installed").exists() else f"make servers SERVERS={name}"


def version_of(name: str, package: str) -> str:
    """The version of a package in a server's environment."""
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    done = subprocess.run([python(name), "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


@contextmanager
def mlserver(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """MLServer with a scikit-learn pipeline; yields its address. `environment`: more of its settings."""
    for version in ("v1", "v2"):
        (folder / version).mkdir()
        settings = {
            "name": "churn",
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": "./model.joblib", "version": version},
        }
        (folder / version / "model-settings.json").write_text(json.dumps(settings))
    subprocess.run([python("mlserver"), "-c", _TRAIN, str(folder)], timeout=120, check=True)
    http, grpc, metrics = free_port(), free_port(), free_port()
    ports = {"http_port": http, "grpc_port": grpc, "metrics_port": metrics, "parallel_workers": 0}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "debug": False, **ports}))
    command = [str(VENVS / "mlserver" / "bin" / "mlserver"), "start", str(folder)]
    with running(command, folder, f"http://127.0.0.1:{http}/v2/health/ready", environment) as address:
        yield address


@contextmanager
def kserve(folder: Path) -> Iterator[str]:
    """KServe's Python server with a model of its own; yields its address."""
    script = folder / "churn.py"
    script.write_text(_KSERVE)
    port = free_port()
    with running([python("kserve"), str(script), str(port)], folder, f"http://127.0.0.1:{port}/v2/health/ready") as url:
        yield url


@contextmanager
def bentoml(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """BentoML with the service in `folder`; yields its address."""
    port = str(free_port())
    command = [python("bentoml"), "-m", "bentoml", "serve", "bentoml_service:Churn", "--host", "127.0.0.1"]
    ready = f"http://127.0.0.1:{port}/readyz"
    with running([*command, "--port", port], folder, ready, environment):
        yield ready.removesuffix("/readyz")


def tensors_request(call: Call) -> dict[str, Any]:
    """A request in the Open Inference Protocol with a column per feature, and both outputs asked for."""
    n = len(call.rows)
    kinds = dict(zip(FEATURES, ("FP64", "FP64", "BYTES"), strict=True))
    inputs = [
        {"name": name, "shape": [n, 1], "datatype": kind, "data": [row.features[name] for row in call.rows]}
        for name, kind in kinds.items()
    ]
    return {"id": call.id, "parameters": {"content_type": "pd"}, "inputs": inputs}


def instances_request(call: Call) -> dict[str, Any]:
    """A request of the v1 protocol."""
    return {"instances": [list(row.features.values()) for row in call.rows]}


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The JSON answer to a JSON body."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def ask_mlserver(address: str, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """Request and response of a call."""
    request = tensors_request(call) | {"outputs": [{"name": "predict"}, {"name": "predict_proba"}]}
    return request, post(f"{address}/v2/models/churn/versions/{call.version}/infer", request)


def ask_kserve_v2(address: str, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of KServe's server."""
    request = tensors_request(call)
    return request, post(f"{address}/v2/models/churn-{call.version}/infer", request)


def ask_kserve_v1(address: str, call: Call) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same in the v1 protocol."""
    request = instances_request(call)
    return request, post(f"{address}/v1/models/churn-{call.version}:predict", request)


def python(name: str) -> str:
    """The interpreter of a server's environment."""
    return str(VENVS / name / "bin" / "python")


@contextmanager
def running(
    command: list[str], folder: Path, ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The server as a child in a process group of its own, once `ready` answers; yields its address."""
    with (folder / "server.log").open("wb") as log:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait(lambda: _answers(ready), child, folder / "server.log")
            yield ready.partition("/v2")[0]
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(timeout=20)


def _wait(ready: Callable[[], bool], child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert child.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
