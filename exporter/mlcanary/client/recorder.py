"""The client: what a server calls.

canary = Client("/var/log/churn/predictions.jsonl", model="churn", version="v2")   # or "http://127.0.0.1:10877"

id = canary.prediction(features, score=0.71)          # explicit
with canary.predicting(features) as p:                # measures the latency, records exceptions
    p.score = model(features)
@canary.watch(answer="score")                         # the same around a function
def predict(features): ...
app = CanaryMiddleware(app, canary, paths=["/predict"])

canary.label(id, 1); canary.click(id); canary.purchase(id, 59.9)
"""

from __future__ import annotations

import functools
import inspect
import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ParamSpec, TypeVar, cast

from mlcanary.client.lines import LABEL, PREDICTION
from mlcanary.client.outbox import Outbox, Stats
from mlcanary.client.prediction import Prediction
from mlcanary.client.push import HttpPush
from mlcanary.client.rotating_file import RotatingFile
from mlcanary.client.sinks import Sink
from mlcanary.client.watching import Answer, answer_writer, argument_reader

P = ParamSpec("P")
R = TypeVar("R")

Target = str | os.PathLike[str]


class Client:
    """Records predictions and outcomes of one server. Any thread, task or forked process may use it at any time.

    Guarantee: of all methods only the constructor raises. Features and scores are copied, one level deep, before a
    call returns: the caller may change its dict afterwards, but not objects inside it. Records are encoded and
    written in a thread of their own; up to `interval` seconds of them are lost by `kill -9`, all else is sent at exit.
    """

    def __init__(
        self,
        target: Target,
        *,
        model: str | None = None,
        version: str | None = None,
        feature_names: Sequence[str] | None = None,
        capacity: int = 10_000,
        interval: float = 0.25,
        close_timeout: float = 2.0,
        max_bytes: int = 100_000_000,
        keep: int = 3,
        token_file: Target | None = None,
        ca_file: Target | None = None,
        timeout: float = 5.0,
    ) -> None:
        """`target`: a file that is appended to, or the URL of an exporter. Raises ValueError for what cannot be used.

        `model` and `version` default to the environment variables MLCANARY_MODEL and MLCANARY_VERSION, and are left
        to the exporter without them. `feature_names` are those of features that are given as a list or an array.
        `capacity`: records that may wait (about 2 KB each with 25 features). Seconds: `interval` between two looks of
        the thread, `close_timeout` at exit, `timeout` of HTTP. A file is renamed at `max_bytes` and `keep` old ones
        are kept. `token_file` holds the bearer token; `ca_file` the certificates to trust.
        """
        for name, value in (("capacity", capacity), ("max_bytes", max_bytes), ("keep", keep)):
            if value < 1:
                raise ValueError(f"{name}: {value}; allowed: 1 and more")
        for name, seconds in (("interval", interval), ("timeout", timeout)):
            if not seconds > 0:
                raise ValueError(f"{name}: {seconds}; allowed: seconds above 0")
        self.model = model or os.environ.get("MLCANARY_MODEL") or None
        self.version = version or os.environ.get("MLCANARY_VERSION") or None
        self._feature_names = None if feature_names is None else tuple(feature_names)
        place = os.fspath(target)
        sink: Sink
        if "://" in place:
            sink = HttpPush(place, token_file=_path(token_file), ca_file=_path(ca_file), timeout=timeout)
        else:
            sink = RotatingFile(place, max_bytes=max_bytes, keep=keep)
        self._outbox = Outbox(sink, capacity=capacity, interval=interval, close_timeout=close_timeout)
        self._ids = _Ids()
        self._outbox.on_fork(self._ids.renew)

    # --- predictions

    def prediction(
        self,
        features: Any = None,
        *,
        id: str | None = None,
        prediction: Any = None,
        score: Any = None,
        scores: Mapping[str, Any] | None = None,
        items: Iterable[Any] | None = None,
        user: Any = None,
        latency_ms: float | None = None,
        queue_ms: float | None = None,
        status: Any = None,
        label: Any = None,
        ts: float | datetime | None = None,
        model: str | None = None,
        version: str | None = None,
    ) -> str:
        """Record one prediction; its id, made here if none is given, which its label needs later.

        `features`: a mapping, or a sequence if the client knows `feature_names`. `ts`: Unix seconds or a datetime,
        now if missing. The other arguments are the keys of the native format. Cost: about 1.5 us, 25 features.
        """
        if id is None:
            id = self._ids.next()
        if ts is None:
            ts = time.time()
        self._put_prediction(
            ts,
            id,
            model,
            version,
            features,
            prediction,
            score,
            scores,
            items,
            user,
            latency_ms,
            queue_ms,
            status,
            label,
        )
        return id

    def predicting(self, features: Any = None, *, id: str | None = None) -> Prediction:
        """A block around the making of one prediction, which sets the answer on what it gets:

            with canary.predicting(features) as p:
                p.score = model(features)
            return {"id": p.id, "score": p.score}

        Latency is measured. An exception is recorded as a failed request, and goes on.
        """
        return Prediction(self._record, self._ids.next() if id is None else id, features)

    def watch(
        self,
        *,
        answer: Answer = "prediction",
        features: str | None = None,
        id: str | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator: every call of the function, plain or async, is one prediction.

        `answer`: what the function returns: `prediction`, `score`, `scores` or `items`; or a function that makes a
        mapping with some of these keys out of it. `features` and `id`: names of the parameters that hold them;
        features are in the first parameter if not given, and an id is made. Inside, `current()` has the prediction.
        Raises ValueError at decoration for an unknown answer or parameter.
        """
        write_answer = answer_writer(answer)

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            read_features = argument_reader(function, features)
            read_id = None if id is None else argument_reader(function, id)

            def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Prediction:
                given = None if read_id is None else read_id(args, kwargs)
                return self.predicting(read_features(args, kwargs), id=given)

            def end(p: Prediction, result: object) -> None:
                try:
                    write_answer(p, result)
                except Exception:  # the server's answer is right whatever we can read of it
                    self._outbox.drop("invalid")

            if inspect.iscoroutinefunction(function):

                @functools.wraps(function)
                async def watched_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                    with begin(args, kwargs) as p:
                        result = await function(*args, **kwargs)
                        end(p, result)
                        return result

                return cast("Callable[P, R]", watched_async)

            @functools.wraps(function)
            def watched(*args: P.args, **kwargs: P.kwargs) -> R:
                with begin(args, kwargs) as p:
                    result = function(*args, **kwargs)
                    end(p, result)
                    return result

            return watched

        return decorate

    # --- outcomes

    def label(self, id: str, label: Any, *, ts: float | datetime | None = None, model: str | None = None) -> None:
        """Record what was right: the true class or number, a list of right items, or an object of their grades."""
        self._outcome(id, ts, model, label=label)

    def event(
        self, id: str, name: str, value: Any = None, *, ts: float | datetime | None = None, model: str | None = None
    ) -> None:
        """Record that something happened after a prediction, with an amount if it has one."""
        self._outcome(id, ts, model, event=name, value=value)

    def click(self, id: str, *, ts: float | datetime | None = None) -> None:
        """Record a click."""
        self._outcome(id, ts, None, event="click")

    def purchase(self, id: str, value: Any = None, *, ts: float | datetime | None = None) -> None:
        """Record a purchase and its amount."""
        self._outcome(id, ts, None, event="purchase", value=value)

    # --- the client itself

    def stats(self) -> Stats:
        """What became of the records of this process so far."""
        return self._outbox.stats()

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait, for a test or at the end of a script, until all is sent; False if `timeout` seconds did not do."""
        return self._outbox.flush(timeout)

    def close(self) -> None:
        """Send what waits, for at most `close_timeout` seconds. Happens at exit by itself."""
        self._outbox.close()

    def drop(self, reason: str) -> None:
        """Count a record that was not made, by one of `DROP_REASONS`."""
        self._outbox.drop(reason)

    # --- inside

    def _record(self, p: Prediction) -> None:
        self._put_prediction(
            p.ts,
            p.id,
            p.model,
            p.version,
            p.features,
            p.prediction,
            p.score,
            p.scores,
            p.items,
            p.user,
            p.latency_ms,
            p.queue_ms,
            p.status,
            p.label,
        )

    def _put_prediction(
        self,
        ts: float | datetime,
        id: str,
        model: str | None,
        version: str | None,
        features: Any,
        prediction: Any,
        score: Any,
        scores: Mapping[str, Any] | None,
        items: Iterable[Any] | None,
        user: Any,
        latency_ms: float | None,
        queue_ms: float | None,
        status: Any,
        label: Any,
    ) -> None:
        """Queue a prediction. Positional and flat, as every call of a server pays for it."""
        try:
            self._outbox.put(
                (
                    PREDICTION,
                    ts,
                    id,
                    model or self.model,
                    version or self.version,
                    features.copy() if type(features) is dict else self._copied(features),
                    prediction,
                    score,
                    None if scores is None else dict(scores),
                    None if items is None else list(items),
                    user,
                    latency_ms,
                    queue_ms,
                    status,
                    label,
                )
            )
        except Exception:  # arguments are anything at all: their methods may raise anything
            self._outbox.drop("invalid")

    def _outcome(
        self,
        id: str,
        ts: float | datetime | None,
        model: str | None,
        *,
        label: Any = None,
        event: str | None = None,
        value: Any = None,
    ) -> None:
        when = time.time() if ts is None else ts
        self._outbox.put((LABEL, when, id, model or self.model, label, event, value))

    def _copied(self, features: Any) -> Mapping[str, Any] | None:
        """A copy of features that are no plain dict. Raises whatever they raise."""
        if features is None:
            return None
        if hasattr(features, "keys"):
            return dict(features)
        if self._feature_names is None:
            raise TypeError("features without names; give the client feature_names")
        return dict(zip(self._feature_names, features, strict=True))


class _Ids:
    """Ids that no other process makes: 72 random bits, made anew after a fork, and a count.

    `next` of a count is atomic, so threads need no lock. Cost: about 0.15 us.
    """

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, in a process that was forked."""
        self._prefix = os.urandom(9).hex() + "-"
        self._count = itertools.count()

    def next(self) -> str:
        """The next id."""
        return f"{self._prefix}{next(self._count):x}"


def _path(path: Target | None) -> str | None:
    return None if path is None else os.fspath(path)
