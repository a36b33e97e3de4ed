"""`push` of the exporter's configuration: what is taken over HTTP, and how much.

    push:
      format: cloudevents             # of POST /v1/events; /v1/predictions and /v1/labels take native records
      max_body_bytes: 8388608         # unpacked too
      max_spool_bytes: 268435456      # what may wait on disk; above it pushes are answered with 503
      requests_per_second: 1000       # of one sender; above it 429
      fsync: false                    # true: an answered push outlives a power cut, at a few milliseconds each

Every key has a default: an empty `push:`, or `--push`, turns it on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from mlcanary.documents import Schema
from mlcanary.errors import ConfigError
from mlcanary.sources.spool import SEGMENT_BYTES, SpoolLimits

PUSHED = "push"
"""Source and origin of what came to `/v1/predictions` and `/v1/labels`."""

EVENTS = "push:events"
"""Source and origin of what came to `/v1/events`."""

EVENT_FORMAT = "cloudevents"
_MIB = 1 << 20
Mebibytes = Annotated[int, msgspec.Meta(ge=_MIB)]


class PushSection(Schema, frozen=True):
    """Limits of the endpoints; `format`, `mapping`, `model` and `version` are those of a source."""

    format: str | None = None
    mapping: dict[str, Any] | None = None
    model: str | None = None
    version: str | None = None
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 8 * _MIB
    max_line_bytes: Annotated[int, msgspec.Meta(ge=1024)] = _MIB
    max_spool_bytes: Mebibytes = 256 * _MIB
    requests_per_second: Annotated[float, msgspec.Meta(gt=0)] = 1000.0
    fsync: bool = False

    @property
    def problem(self) -> tuple[str, str, str] | None:
        """The key, what was found and what is allowed, where two keys do not go together."""
        if self.max_spool_bytes < 4 * self.max_body_bytes:
            allowed = f"at least 4 times max_body_bytes, {4 * self.max_body_bytes}"
            return "max_spool_bytes", str(self.max_spool_bytes), allowed
        return None

    @property
    def spool(self) -> SpoolLimits:
        """Of the spools: one holds records, the other events."""
        segment_bytes = min(SEGMENT_BYTES, self.max_spool_bytes // 16)
        return SpoolLimits(self.max_spool_bytes, segment_bytes, self.fsync)


def push_section(given: PushSection | msgspec.UnsetType | None, asked: bool) -> PushSection | None:
    """What `push:` says; defaults if the key is empty or `asked` for by a flag; None if push is off."""
    if isinstance(given, PushSection):
        return given
    return PushSection() if asked or given is None else None


def require_safe_exposure(exposed: Sequence[str], authenticates: bool) -> None:
    """Raise ConfigError if anybody on the network could make up predictions.

    Input: `exposed` are the listen addresses that are not loopback.
    """
    if exposed and not authenticates:
        raise ConfigError(
            f"push is on, but {exposed[0]} is open to the network without authentication",
            hint="set bearer_token_file, basic_auth_users or principals in --web.config.file, "
            "or --web.listen-address=127.0.0.1:10877",
        )
