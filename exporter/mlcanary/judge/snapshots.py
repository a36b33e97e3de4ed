"""The state of evidence as bytes, and back: what makes a restart quick. The steps remain the truth.

Guarantee: an object that is built by the same constructor and loaded from these bytes goes on with the same bits. Saved
are numbers, text, None, NumPy arrays, lists, dicts with text as keys, and mutable dataclasses of these; what else an
object holds (functions, plans, limits) is left to its constructor. A dataclass with a method `begin` is begun with its
saved `rates` or `level` before the rest is loaded, since what it holds is not there until then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar

import msgspec
import numpy as np

from mlcanary.errors import StateError

_ARRAY = "\0array"
_BEGUN_BY = ("rates", "level")
_HINT = "it is of another version; the steps will do"
T = TypeVar("T")


def saved(state: Mapping[str, Any]) -> bytes:
    """Objects by name, as MessagePack."""
    return msgspec.msgpack.encode({name: _plain(value) for name, value in state.items()})


def load(objects: Mapping[str, Any], data: bytes) -> None:
    """Bring objects to the state that `saved` wrote. Raises StateError if it is of other objects."""
    try:
        state = msgspec.msgpack.decode(data)
        for name, value in objects.items():
            _load(value, state[name])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"a snapshot does not fit: {error!r}", hint=_HINT) from error


def joined(first: bytes, second: bytes) -> bytes:
    """Two parts as one."""
    return msgspec.msgpack.encode((first, second))


def parted(data: bytes) -> tuple[bytes, bytes]:
    """What `joined` was given. Raises StateError."""
    return decoded(data, tuple[bytes, bytes])


def decoded(data: bytes, kind: type[T]) -> T:
    """A value of `kind`. Raises StateError."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise StateError(f"a snapshot does not fit: {error}", hint=_HINT) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        return [_ARRAY, array.dtype.str, list(array.shape), array.tobytes()]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if _is_state(getattr(value, f.name))}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _is_state(value: Any) -> bool:
    """Frozen dataclasses and members of enumerations are settings; functions and structs belong to the constructor."""
    if isinstance(value, Enum):
        return False
    if is_dataclass(value) and not isinstance(value, type):
        return not value.__dataclass_params__.frozen  # type: ignore[attr-defined]  # every dataclass has it
    if isinstance(value, list | tuple):
        return all(_is_state(inner) for inner in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_state(inner) for key, inner in value.items())
    return value is None or isinstance(value, str | int | float | np.ndarray | np.generic)


def _load(target: Any, state: Any) -> None:
    begun_by = next((name for name in _BEGUN_BY if name in state and hasattr(target, name)), None)
    if begun_by is not None and state[begun_by] not in (None, []) and hasattr(target, "begin"):
        target.begin(state[begun_by])
    for f in fields(target):
        if f.name not in state:
            continue
        now, then = getattr(target, f.name), state[f.name]
        if is_dataclass(now) and not isinstance(now, type):
            _load(now, then)
        elif isinstance(now, list) and now and is_dataclass(now[0]):
            for inner, inner_state in zip(now, then, strict=True):
                _load(inner, inner_state)
        elif isinstance(now, dict) and now and all(is_dataclass(inner) for inner in now.values()):
            for key, inner in now.items():
                _load(inner, then[key])
        else:
            setattr(target, f.name, _value(then, like=now))


def _value(state: Any, like: Any) -> Any:
    if isinstance(state, list) and state and state[0] == _ARRAY:
        _, kind, shape, data = state
        return np.frombuffer(data, dtype=kind).reshape(shape).copy()
    if isinstance(state, list):
        inner = [_value(part, None) for part in state]
        return tuple(inner) if isinstance(like, tuple) else inner
    if isinstance(state, dict):
        return {key: _value(part, None) for key, part in state.items()}
    return state
