"""One prediction while it is being made: what `Client.predicting`, `Client.watch` and the middleware fill in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from datetime import datetime
from types import TracebackType
from typing import Any, Self


class Prediction:
    """A request in the making: set what is known, it is recorded once when its block ends.

    `features`, `prediction`, `score`, `scores`, `items`, `user`, `queue_ms`, `status`, `version`, `model` and `label`
    mean what they mean in the native format; features are recorded as they are when the block ends. `id` is made when
    none is given. `latency_ms` is measured unless it is set. An exception that leaves the block becomes the
    `status`, by the name of its class, and goes on.
    """

    features: Any
    prediction: Any = None
    score: Any = None
    scores: Mapping[str, Any] | None = None
    items: Iterable[Any] | None = None
    user: Any = None
    latency_ms: float | None = None
    queue_ms: float | None = None
    status: Any = None
    label: Any = None
    model: str | None = None
    version: str | None = None
    _token: Token[Prediction | None] | None = None

    def __init__(self, record: Callable[[Prediction], None], id: str, features: Any = None) -> None:
        """`record` takes it once it is complete."""
        self._record = record
        self._started = time.perf_counter()
        self.ts: float | datetime = time.time()
        self.id = id
        self.features = features

    def done(self) -> None:
        """Record it now, with the time that it took so far. The second time does nothing. Never raises."""
        record, self._record = self._record, _nothing
        if self.latency_ms is None:
            self.latency_ms = (time.perf_counter() - self._started) * 1000.0
        record(self)

    @property
    def is_empty(self) -> bool:
        """True if nothing was predicted, no features are known and nothing failed."""
        answered = (self.prediction, self.score, self.scores, self.items, self.status)
        return self.features is None and all(value is None for value in answered)

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.leave()
        if kind is not None and self.status is None:
            self.status = kind.__name__
        self.done()

    def leave(self) -> None:
        """Be the current prediction no more, without being recorded."""
        token, self._token = self._token, None
        if token is not None:
            try:  # noqa: SIM105  `suppress` takes longer, and every call pays
                _CURRENT.reset(token)
            except ValueError:  # a generator that ends in another context than it began in
                pass


_CURRENT: ContextVar[Prediction | None] = ContextVar("mlcanary_prediction", default=None)


def current() -> Prediction:
    """The prediction that is being made in this task or thread; outside of any, one that is recorded nowhere.

    So a function that fills it in also works in a test that knows nothing of the client.
    """
    found = _CURRENT.get()
    return found if found is not None else Prediction(_nothing, "")


def _nothing(_prediction: Prediction) -> None:
    """Record nothing."""
