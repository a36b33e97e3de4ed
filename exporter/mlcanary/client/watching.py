"""How `Client.watch` finds features, id and answer of a function that knows nothing of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mlcanary.client.prediction import Prediction

Answer = str | Callable[[Any], Mapping[str, Any]]
Reader = Callable[[tuple[Any, ...], dict[str, Any]], Any]

_ANSWERS = ("prediction", "score", "scores", "items")
_FIELDS = {*_ANSWERS, "id", "features", "user", "status", "label", "model", "version", "latency_ms", "queue_ms", "ts"}


def answer_writer(answer: Answer) -> Callable[[Prediction, Any], None]:
    """A function that sets on a prediction what was returned. Raises ValueError for an unknown name."""
    if callable(answer):
        return _from_mapping(answer)
    if answer not in _ANSWERS:
        raise ValueError(f"answer: {answer!r}; allowed: {', '.join(_ANSWERS)}, or a function that returns a mapping")
    return lambda p, result: setattr(p, answer, result)


def _from_mapping(read: Callable[[Any], Mapping[str, Any]]) -> Callable[[Prediction, Any], None]:
    def write(p: Prediction, result: object) -> None:
        for name, value in read(result).items():
            if name not in _FIELDS:
                raise ValueError(f"{name!r} is no field of a prediction")
            setattr(p, name, value)

    return write


def argument_reader(function: Callable[..., Any], name: str | None) -> Reader:
    """A function from the arguments of a call to the value of one parameter; None where the call does not give it.

    Without a name: the first parameter after `self`, and all keyword arguments of a function that has no other.
    Raises ValueError if there is no such parameter. Cost of a call: about 0.1 us, as nothing is bound.
    """
    parameters = inspect.signature(function).parameters
    kinds = {p.kind for p in parameters.values()}
    positional = [p.name for p in parameters.values() if p.kind in _POSITIONAL]
    if name is None:
        named = [n for n in parameters if n not in _RECEIVERS and parameters[n].kind in _NAMED]
        if not named and inspect.Parameter.VAR_KEYWORD in kinds:
            return lambda _args, kwargs: kwargs
        if not named:
            raise ValueError("features: the function has no parameter that could hold them")
        name = named[0]
    elif name not in parameters:
        raise ValueError(f"{name!r} is no parameter of the function; it has {', '.join(parameters) or 'none'}")
    place = positional.index(name) if name in positional else len(positional) + _NEVER
    wanted = name

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return args[place] if place < len(args) else kwargs.get(wanted)

    return read


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY)
_RECEIVERS = ("self", "cls")
_NEVER = 1 << 30
