"""The last page, ready to be sent: made by the ingest thread, served by the web thread, never changed."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlcanary.exposition.families import Family
from mlcanary.exposition.sketches import Peer
from mlcanary.monitor.users import Sketches
from mlcanary.records import Reject


@dataclass(frozen=True, slots=True)
class SourceView:
    """One log as the landing page shows it."""

    source: str
    up: bool
    error: str
    lag_bytes: int
    lines: int


@dataclass(frozen=True)
class Page:
    """One moment of the exporter. `text` and `openmetrics` are complete pages; `salt`: fingerprint for `sketches`."""

    text: bytes
    openmetrics: bytes
    families: Sequence[Family] = ()
    sources: Sequence[SourceView] = ()
    rejects: Sequence[tuple[str, Reject]] = ()
    warnings: Sequence[str] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    refused: str = ""
    peers: Sequence[Peer] = ()
    sketches: Sketches = field(default_factory=dict)
    salt: str = ""
    made_at: float = 0.0
    _packed: dict[bool, bytes] = field(default_factory=dict)

    def body(self, *, openmetrics: bool, packed: bool) -> bytes:
        """The page in one format, gzipped if asked; each is packed once."""
        plain = self.openmetrics if openmetrics else self.text
        if not packed:
            return plain
        if openmetrics not in self._packed:
            self._packed[openmetrics] = gzip.compress(plain, compresslevel=1, mtime=0)
        return self._packed[openmetrics]
