"""Azure Machine Learning's data collector: inputs and outputs of a model as lines of their own, paired here.

sources:
  - path: /mnt/capture/churn/*/model_*/**/*.jsonl     # endpoint/deployment/collection/yyyy/MM/dd/HH/
    format: azureml

Guarantee: both halves meet by `correlationid`, in any order; a batch gives `<correlationid>/<row>`. The version is
`modelversion`, or with `mapping: {version: deployment}` the deployment, which is also what is left without the former;
the model is the endpoint. Times are whole seconds, so there is no latency in them.
Source: Azure Machine Learning, "Collect production data from models deployed for real-time inferencing".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlcanary.formats.batch import NO_PAYLOAD
from mlcanary.formats.calls import PairedFormat, facts_of, places
from mlcanary.formats.envelope import Event
from mlcanary.formats.pairing import Half, Side
from mlcanary.formats.rows import Rejected, Row

_KINDS = {"azureml.inference.model_inputs": Side.REQUEST, "azureml.inference.model_outputs": Side.RESPONSE}
_DEPLOYMENT = re.compile(r"onlineEndpoints/(?P<endpoint>[^/]+)/deployments/(?P<deployment>[^/]+)")
_BY_DEPLOYMENT = "deployment"


class AzureMLFormat(PairedFormat):
    """Lines of the collections `model_inputs` and `model_outputs` to rows."""

    reasons = (*PairedFormat.reasons, NO_PAYLOAD)

    def _of_event(self, line: bytes, now: float) -> Iterator[Row]:
        event = Event.read(line)
        kind = event.text("type")
        side = _KINDS.get(kind or "")
        if side is None:
            raise Rejected(
                "payload", f"type {kind!r:.80}; known: {', '.join(_KINDS)}; does `path` name other collections?"
            )
        key = event.text("correlationid")
        if key is None:
            raise Rejected("no_id", "a line without correlationid, by which its other half is found")
        if "data" not in event.names:
            raise Rejected(NO_PAYLOAD, "a line without data: the payload was too large and lies in a file of its own")
        found = _DEPLOYMENT.search(event.text("source") or "")
        deployment = found["deployment"] if found else None
        ruled = self._mapping.version
        version = deployment if ruled == _BY_DEPLOYMENT else event.first(places(ruled, ("modelversion",)))
        facts = facts_of(
            id=event.first(places(self._mapping.id, ("correlationid",))),
            model=event.first(places(self._mapping.model, ())),
            model_else=found["endpoint"] if found else None,
            version=version,
            version_else=None if ruled else deployment,
        )
        yield from self._paired(key, side, Half(event.body(), event.seconds(), facts), now)
