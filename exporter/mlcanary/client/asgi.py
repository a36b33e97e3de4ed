"""ASGI middleware: latency and status of every request on the paths of the model.

    app = CanaryMiddleware(app, canary, paths=["/predict"])

The application sets features and answer on `request.state.mlcanary` (Starlette, FastAPI), which is
`scope["state"]["mlcanary"]`, or on `mlcanary.client.current()`, from wherever it knows them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any, Protocol

from mlcanary.client.prediction import Prediction

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Recorder(Protocol):
    """What the middleware needs of a client."""

    def predicting(self, features: Any = None, *, id: str | None = None) -> Prediction:
        """A new prediction."""

    def drop(self, reason: str) -> None:
        """Count a record that was not made."""


class CanaryMiddleware:
    """One prediction per request on `paths`, recorded when the last byte of its answer was handed to the server.

    A status of 200 to 299 is a success, any other one and an exception (500) a failed request. A success on which the
    application set nothing is counted as dropped, `empty`. Other paths, and all but HTTP, pass untouched.
    """

    def __init__(self, app: Application, client: Recorder, *, paths: Collection[str]) -> None:
        """`paths`: as in `scope["path"]`, in full. Raises ValueError for one text instead of several."""
        if isinstance(paths, str):
            raise ValueError(f"paths: {paths!r}; allowed: a list of paths")  # noqa: TRY004  a text is a collection
        self._app = app
        self._client = client
        self._paths = frozenset(paths)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        recording = _Recording(self._client)
        state = {**(scope.get("state") or {}), "mlcanary": recording.prediction}

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                recording.status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                recording.end()

        recording.prediction.__enter__()
        try:
            await self._app({**scope, "state": state}, receive, watch)
        except BaseException:
            recording.status = 500
            raise
        finally:
            recording.prediction.leave()
            recording.end()


class _Recording:
    """The prediction of one request, and what became of it."""

    def __init__(self, client: Recorder) -> None:
        self._client = client
        self.prediction = client.predicting()
        self.status = 500
        self._ended = False

    def end(self) -> None:
        """Record it, the first time."""
        if self._ended:
            return
        self._ended = True
        if self.prediction.status is None and not 200 <= self.status < 300:
            self.prediction.status = self.status
        if self.prediction.is_empty:
            self._client.drop("empty")
        else:
            self.prediction.done()
