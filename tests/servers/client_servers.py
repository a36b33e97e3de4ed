"""Servers that write no log of their own, with the client in their `predict()`: LitServe and MLflow's scoring server.

Both give the id of the prediction beside its score, which is what a caller needs to tell the outcome later.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from formats.same_traffic import Call
from own_ports import free_port
from servers.model_servers import VENVS, python, running

_EXPORTER = Path(__file__).parents[2] / "exporter"

_LITSERVE = """
import sys

import litserve
from mlcanary.client import Client

class Churn(litserve.LitAPI):
    def setup(self, device):
        self.canary = Client(sys.argv[2], model="churn", version="v1")

    def predict(self, features):
        with self.canary.predicting(features) as p:
            p.score = min(1.0, features["age"] / 100.0)
        return {"id": p.id, "score": p.score}

if __name__ == "__main__":
    server = litserve.LitServer(Churn(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
"""

_MLFLOW = """
import mlflow
from mlcanary.client import Client

class Churn(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.canary = Client("predictions.jsonl", model="churn", version="v1")

    def predict(self, context, model_input, params=None):
        answers = []
        for features in model_input.to_dict("records"):
            with self.canary.predicting(features) as p:
                p.score = min(1.0, features["age"] / 100.0)
            answers.append({"id": p.id, "score": p.score})
        return answers

mlflow.models.set_model(Churn())
"""

_SAVE = "import mlflow; mlflow.pyfunc.save_model('model', python_model='churn.py', pip_requirements=[])"


@dataclass(frozen=True)
class ClientServer:
    """How a server is run in a folder, whose `predictions.jsonl` its client writes, and how it is asked.

    `answer` takes id and score out of a response.
    """

    run: Callable[[Path], AbstractContextManager[str]]
    path: str
    request: Callable[[Call], dict[str, Any]]
    answer: Callable[[dict[str, Any]], dict[str, Any]]


@contextmanager
def litserve(folder: Path) -> Iterator[str]:
    """LitServe; yields its address."""
    script = folder / "churn.py"
    script.write_text(_LITSERVE)
    address = f"http://127.0.0.1:{free_port()}"
    command = [python("litserve"), str(script), address.rpartition(":")[2], str(folder / "predictions.jsonl")]
    with running(command, folder, f"{address}/health", {"PYTHONPATH": str(_EXPORTER)}):
        yield address


@contextmanager
def mlflow(folder: Path) -> Iterator[str]:
    """`mlflow models serve`; yields its address."""
    (folder / "churn.py").write_text(_MLFLOW)
    port = str(free_port())
    binaries = VENVS / "mlflow" / "bin"
    environment = {
        "PYTHONPATH": str(_EXPORTER),
        "PATH": f"{binaries}:/usr/bin:/bin",
        "MLFLOW_TRACKING_URI": "sqlite:///x",
    }
    subprocess.run([python("mlflow"), "-c", _SAVE], cwd=folder, env=environment, timeout=120, check=True)
    serve = [str(binaries / "mlflow"), "models", "serve", "-m", "model", "--env-manager", "local", "--workers", "1"]
    with running([*serve, "--host", "127.0.0.1", "--port", port], folder, f"http://127.0.0.1:{port}/ping", environment):
        yield f"http://127.0.0.1:{port}"


CLIENT_SERVERS = {
    "litserve": ClientServer(litserve, "/predict", lambda call: dict(call.rows[0].features), lambda answer: answer),
    "mlflow": ClientServer(
        mlflow,
        "/invocations",
        lambda call: {"dataframe_records": [dict(call.rows[0].features)]},
        lambda answer: dict(answer["predictions"][0]),
    ),
}
