"""An HTTP model server as people run them: one model, one log of what it saw and what it said.

Guarantee: each call of `/predict` leaves exactly one native record in the log, written before the answer
leaves, with the features as the model saw them, after the feature pipeline.

    POST /predict     {"id": "r-1", "features": {"mean_radius_um": 11.7, ...}}
                      -> {"id", "version", "prediction", "score"}; 400 with a reason for a bad row
    GET  /healthz     200 once the model is loaded
    POST /admin/bug   {"kind": "unit_change"}: from then on the feature pipeline hands over lengths in
                      millimetres to a model that was trained on micrometres. Only from loopback, and only
                      when the server was started with --faults.enable.
"""

from __future__ import annotations

import argparse
import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

import joblib
import msgspec
import numpy as np
from aiohttp import web

from mlcanary.demo.dataset import FEATURES, FEATURES_OF, LENGTHS, MODEL, model_file
from mlcanary.errors import InputError

MICROMETRES_TO_MILLIMETRES = 0.001
THRESHOLD = 0.5
_ENCODER = msgspec.json.Encoder()


class PredictRequest(msgspec.Struct, frozen=True):
    """Body of `/predict`: the caller's id, which the label will carry too, and one row."""

    id: str
    features: dict[str, float | None]


class BugRequest(msgspec.Struct, frozen=True):
    """Body of `/admin/bug`."""

    kind: Literal["unit_change"]


class Answer(msgspec.Struct, frozen=True):
    """Answer of `/predict`: `score` is P(malignant), `prediction` 1 from 0.5 upwards."""

    id: str
    version: str
    prediction: int
    score: float


@dataclass
class FeaturePipeline:
    """From the row of a request to the row that the model sees. `length_factor` is 1 while all is well."""

    length_factor: float = 1.0

    def row(self, features: Mapping[str, float | None]) -> dict[str, float]:
        """Every feature by name, in the order of `FEATURES`. Raises InputError for a missing one."""
        missing = [name for name in FEATURES if features.get(name) is None]
        if missing:
            raise InputError(f"features: {', '.join(missing)} missing", hint="send every feature as a number")
        values = {name: float(features[name] or 0.0) for name in FEATURES}
        return {n: v * self.length_factor if n in LENGTHS else v for n, v in values.items()}

    def change_unit(self) -> None:
        """Hand over lengths in millimetres from now on. Doing it twice changes nothing more."""
        self.length_factor = MICROMETRES_TO_MILLIMETRES


@dataclass
class ModelServer:
    """One version of the model behind HTTP. `log` is a text file opened for appending."""

    version: str
    model: Any
    log: IO[str]
    faults_enabled: bool
    pipeline: FeaturePipeline = field(default_factory=FeaturePipeline)

    def application(self) -> web.Application:
        """The aiohttp application with the three routes of the module."""
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_post("/predict", self.predict)
        app.router.add_get("/healthz", self.healthz)
        app.router.add_post("/admin/bug", self.bug)
        return app

    async def healthz(self, _request: web.Request) -> web.Response:
        """200: the model is loaded before the port is open."""
        return web.json_response({"version": self.version, "status": "ok"})

    async def predict(self, request: web.Request) -> web.Response:
        """Answer one row and log it; a row that cannot be used is logged with status 400."""
        received, started = time.time(), time.perf_counter()
        try:
            call = msgspec.json.decode(await request.read(), type=PredictRequest)
        except msgspec.DecodeError as error:
            return web.json_response({"error": f"body: {error}"}, status=400)
        try:
            row = self.pipeline.row(call.features)
        except InputError as error:
            self._record(call.id, received, started, status=400)
            return web.json_response({"error": str(error)}, status=400)
        score = self._score(row)
        answer = Answer(call.id, self.version, int(score >= THRESHOLD), score)
        self._record(call.id, received, started, features=row, prediction=answer.prediction, score=round(score, 6))
        return web.Response(body=_ENCODER.encode(answer), content_type="application/json")

    async def bug(self, request: web.Request) -> web.Response:
        """Break the feature pipeline: 403 from anywhere but loopback or without --faults.enable."""
        if not self.faults_enabled or not _is_loopback(request.remote):
            return web.json_response({"error": "not allowed here"}, status=403)
        try:
            msgspec.json.decode(await request.read(), type=BugRequest)
        except msgspec.DecodeError as error:
            return web.json_response({"error": f"body: {error}"}, status=400)
        self.pipeline.change_unit()
        return web.json_response({"bug": "unit_change", "ts": _rfc3339(time.time())})

    def _score(self, row: Mapping[str, float]) -> float:
        values = [[row[name] for name in FEATURES_OF[self.version]]]
        return float(self.model.predict_proba(np.array(values))[0, 1])

    def _record(self, call_id: str, received: float, started: float, *, status: int = 200, **rest: object) -> None:
        record = {
            "kind": "prediction",
            "id": call_id,
            "ts": _rfc3339(received),
            "model": MODEL,
            "version": self.version,
            **rest,
            "latency_ms": round((time.perf_counter() - started) * 1000.0, 3),
            "status": status,
        }
        self.log.write(_ENCODER.encode(record).decode() + "\n")
        self.log.flush()


def _rfc3339(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")


def _is_loopback(peer: str | None) -> bool:
    return peer is not None and ipaddress.ip_address(peer).is_loopback


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m mlcanary.demo.sample_server --models DIR --version v1 --log FILE --port N`."""
    parser = argparse.ArgumentParser(description="Serve one version of the demo's model.")
    parser.add_argument("--models", type=Path, required=True, help="directory that training wrote")
    parser.add_argument("--version", choices=sorted(FEATURES_OF), required=True)
    parser.add_argument("--log", type=Path, required=True, help="native JSON lines are appended here")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--faults.enable", dest="faults", action="store_true", help="open /admin/bug")
    options = parser.parse_args(arguments)
    model = joblib.load(model_file(options.models, options.version))
    with options.log.open("a", encoding="utf-8") as log:
        server = ModelServer(options.version, model, log, faults_enabled=options.faults)
        web.run_app(server.application(), host=options.host, port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
