"""`store` of the exporter's configuration: whether what is read is kept as Parquet, where, and how much of it.

    store:
      path: /var/lib/mlcanary/store       # relative to this file
      retention: 7d                       # older segments are removed
      max_bytes: 2147483648               # the oldest segments are removed above it
      segment_interval: 15m               # a row is in a Parquet file after this time at the latest
      segment_rows: 500000                # or after so many rows
      exclude: [email_domain]             # features that are not kept; or `include:`, the only ones that are
      user: false                         # true: keep the salted hash of the user; the id itself is never kept
      labels: true                        # false: predictions alone

Only `path` is needed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from mlcanary.documents import Schema, Seconds, error_at

_LEAST_BYTES = 16 << 20


class StoreSection(Schema, frozen=True):
    """Where rows are kept, how long, and which of their parts."""

    path: str
    retention: Seconds = Seconds(7 * 86_400)
    max_bytes: Annotated[int, msgspec.Meta(ge=_LEAST_BYTES)] = 2 << 30
    segment_interval: Seconds = Seconds(900)
    segment_rows: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 500_000
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    user: bool = False
    labels: bool = True

    def keeps(self, feature: str) -> bool:
        """Whether this feature is kept."""
        return feature in self.include if self.include is not None else feature not in self.exclude


def store_section(section: StoreSection | None, base: Path, text: str, source: str) -> StoreSection | None:
    """The section with its path under `base`. Raises ConfigError; None stays None."""
    if section is None:
        return None
    if section.include is not None and section.exclude:
        raise error_at(text, source, ("store", "exclude"), "`include` and `exclude`", "one of the two")
    for name in ("retention", "segment_interval"):
        seconds = float(getattr(section, name))
        if seconds < 1:
            raise error_at(text, source, ("store", name), f"{seconds:g}s", "a duration of at least 1s")
    if not section.path:
        raise error_at(text, source, ("store", "path"), "an empty path", "a directory")
    if importlib.util.find_spec("pyarrow") is None:
        hint = "pip install 'mlcanary[parquet]'"
        raise error_at(
            text, source, ("store",), "no Python package pyarrow", "a store where it is installed", hint=hint
        )
    return replace(section, path=str(base / section.path))
