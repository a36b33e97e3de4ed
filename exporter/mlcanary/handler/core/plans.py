"""The name of what is about to be done: a hash over all of it. Pure.

Guarantee: two plans have the same hash only if target, effect, versions, states before and after and configuration are
the same. A person approves a hash; what has changed since has another one and is not done.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from mlcanary.handler.core.incidents import ActionKind
from mlcanary.handler.targets.contract import State

_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """One effect. `configuration` is the digest of the configuration file; `expected` as in `Action`."""

    target: str
    kind: ActionKind
    version: str
    destination: str
    desired: State
    expected: State | None
    configuration: str

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits: enough to tell plans apart, short enough to read aloud."""
        parts = [
            self.target,
            self.kind,
            self.version,
            self.destination,
            self.desired.to_json(),
            self.expected.to_json() if self.expected is not None else None,
            self.configuration,
        ]
        return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:_SHOWN]
