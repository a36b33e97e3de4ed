"""Records what your own Python server predicts, for `mlcanary exporter`. Standard library only.

    from mlcanary.client import Client

    canary = Client("/var/log/churn/predictions.jsonl", model="churn", version="v2")

    @canary.watch(answer="score")
    def predict(features): ...

Guarantee: no call blocks, waits for a disk or a network, or raises into the serving path, whatever it is given. A
record that cannot be kept is dropped and counted with a reason (`Client.stats`, `mlcanary_client_dropped_total`).
Records are native JSON lines (`mlcanary.formats.native`), written to a file or pushed by HTTP from a thread of its own.
"""

from mlcanary.client.asgi import CanaryMiddleware
from mlcanary.client.outbox import DROP_REASONS, Stats
from mlcanary.client.prediction import Prediction, current
from mlcanary.client.recorder import Client

__all__ = ["DROP_REASONS", "CanaryMiddleware", "Client", "Prediction", "Stats", "current"]
