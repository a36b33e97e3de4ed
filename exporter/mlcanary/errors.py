"""Every error that mlcanary raises on purpose.

    MLCanaryError                  carries a `hint`: what to do about it
    ├── ConfigError                the operator's file or flag is wrong; nothing was started or changed
    ├── InputError                 a record or a payload is wrong; counted and shown, never fatal
    ├── StateError                 a checkpoint or a ledger cannot be used as it is
    └── ActionError                a target refused, or its answer cannot be trusted

Anything else that escapes is a bug of ours and is loud.
"""

from __future__ import annotations


class MLCanaryError(Exception):
    """Base of the tree. `str(error)` is what happened; `error.hint` is what to do."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MLCanaryError):
    """A configuration file, profile or flag is wrong. Nothing was started or changed."""


class InputError(MLCanaryError):
    """Somebody else's bytes are wrong. Callers count it and go on."""


class StateError(MLCanaryError):
    """Durable state cannot be read or does not belong to this configuration."""


class ActionError(MLCanaryError):
    """A rollback target refused, timed out or answered something that proves nothing."""
