"""The last page, ready to be sent: made by the ingest thread, served by the web thread, never changed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlcanary.exposition.families import Family
from mlcanary.exposition.sketches import Peer
from mlcanary.monitor.users import Sketches
from mlcanary.records import Reject

_GZIP = 31
"""Window bits of zlib that mean gzip."""


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
    """One moment of the exporter. `salt`: fingerprint for `sketches`; `families`: what the landing page shows.

    `text_chunks` and `openmetrics_chunks` are complete pages in pieces, most of which both share with each other and
    with the page before.
    """

    text_chunks: Sequence[bytes] = ()
    openmetrics_chunks: Sequence[bytes] = (b"# EOF\n",)
    families: Sequence[Family] = ()
    series: int = 0
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

    @property
    def text(self) -> bytes:
        """The page in the text format."""
        return b"".join(self.text_chunks)

    @property
    def openmetrics(self) -> bytes:
        """The page in OpenMetrics."""
        return b"".join(self.openmetrics_chunks)

    def ready(self, *, openmetrics: bool, packed: bool) -> bytes | None:
        """The page in one format if nothing is left to compute, which is so once it has been packed."""
        if packed:
            return self._packed.get(openmetrics)
        return self.openmetrics if openmetrics else self.text

    def body(self, *, openmetrics: bool, packed: bool) -> bytes:
        """The page in one format, gzipped if asked; each is packed once."""
        found = self.ready(openmetrics=openmetrics, packed=packed)
        if found is None:
            # Chunk by chunk: the whole page never lies in memory at once.
            packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
            chunks = self.openmetrics_chunks if openmetrics else self.text_chunks
            found = b"".join([*map(packer.compress, chunks), packer.flush()])
            self._packed[openmetrics] = found
        return found
