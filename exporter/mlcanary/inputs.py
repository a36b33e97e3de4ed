"""What is read and how: the sources of the settings with the format of each, as one thing for whoever reads.

Guarantee: positions and the state of the formats, stored together, give the same records from the next block on after a
kill. A source or format that the settings no longer name is forgotten; a new one starts at its beginning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from mlcanary.errors import ConfigError
from mlcanary.formats.contract import Decoded, Format
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.registry import make_format
from mlcanary.formats.rows import REASONS
from mlcanary.settings import ExporterSettings
from mlcanary.source_settings import OriginKind
from mlcanary.sources.contract import Block, Position, Source, SourceStatus
from mlcanary.sources.files import FileSource
from mlcanary.sources.source_set import SourceSet
from mlcanary.weights import Weighing

log = logging.getLogger(__name__)

Feed = Callable[[Any], Source]
"""Opens a source that outlives the settings, such as a spool, from the position that it was left at."""

_FILES = "files"
_ONLY = ""


class Inputs:
    """Sources and formats of one exporter or replay."""

    def __init__(
        self,
        settings: ExporterSettings,
        saved: Mapping[str, Any] | None = None,
        *,
        complete: bool = False,
        block_bytes: int = 1 << 19,
        feeds: Mapping[str, Feed] = MappingProxyType({}),
        columns: bool = True,
        whole: bool = False,
    ) -> None:
        """`saved`: a former `dump()`. `complete`: the logs are finished, their last line needs no line feed.

        Without `columns` records come in the order of their lines. `whole`: with every feature, as a store needs it.
        `feeds`: by name, for origins of the settings that outlive these. What is pushed is left out without one, as in
        a replay; a pipe raises ConfigError.
        """
        positions = dict((saved or {}).get("position", {}))
        self._source = SourceSet(_open(settings, positions, complete, block_bytes, feeds))
        self._formats = {
            # A row that may be left out travels as a record.
            origin.name: make_format(
                origin.format, settings.plan.model, columns=columns and origin.max_weight is None, whole=whole
            )
            for origin in settings.origins
        } or {_ONLY: make_format(settings.default_format, settings.plan.model, columns=columns, whole=whole)}
        self._default = next(iter(self._formats.values()))
        for name, state in (saved or {}).get("formats", {}).items():
            if name in self._formats and state is not None:
                self._formats[name].load(state)
        self._weights = {origin.name: Weighing(origin.max_weight) for origin in settings.origins}
        for name, state in (saved or {}).get("weights", {}).items():
            if name in self._weights:
                self._weights[name].load(state)

    def read(self, progress: Mapping[str, float]) -> Block | None:
        """The next block of lines, from the source that is furthest behind; None if there is nothing to read now."""
        return self._source.read(progress)

    def decode(self, block: Block, now: float) -> Decoded:
        """Its records and rejects. `now`: Unix seconds."""
        decoded = self._format(block.origin).decode_block(block.data, now, block.source)
        if (weights := self._weights.get(block.origin)) is not None:
            weights.weigh(decoded)
        return decoded

    def look_at(self, features: float) -> None:
        """Decode the features of this share of rows from here on, where the format can step over those of others."""
        for each in self._formats.values():
            if isinstance(each, NativeFormat):
                each.share = features

    def weights(self) -> Mapping[str, Weighing]:
        """What is known of the weights of each source."""
        return self._weights

    def reasons(self) -> tuple[str, ...]:
        """Why lines are rejected: of all formats, and those that a format in use adds."""
        return tuple(dict.fromkeys((*REASONS, *(r for each in self._formats.values() for r in each.reasons))))

    @property
    def caught_up(self) -> bool:
        """See `sources.contract`."""
        return self._source.caught_up

    @property
    def waiting(self) -> bool:
        """See `sources.contract`."""
        return self._source.waiting

    @property
    def wants_checkpoint(self) -> bool:
        """A source hands something over to others and asks for a `dump` that is made durable now."""
        return self._source.wants_checkpoint

    def call_when_ready(self, wake: Callable[[], None]) -> None:
        """Have `wake` called, from another thread, when it is worth reading on before the next poll."""
        self._source.call_when_ready(wake)

    @property
    def left_out(self) -> int:
        """Files that are not followed because there are too many."""
        return self._source.left_out

    def status(self) -> list[SourceStatus]:
        """Health of everything that is read."""
        return self._source.status()

    def dump(self) -> dict[str, Any]:
        """What to store with what was made of the blocks so far."""
        states = {name: each.dump() for name, each in self._formats.items()}
        return {
            "position": self._source.position(),
            "formats": {name: state for name, state in states.items() if state is not None},
            "weights": {name: each.dump() for name, each in self._weights.items()},
        }

    def acknowledge(self) -> None:
        """The last `dump()` is durable."""
        self._source.acknowledge()

    def close(self) -> None:
        """Release everything."""
        self._source.close()

    def _format(self, origin: str) -> Format:
        return self._formats.get(origin, self._default)


def _open(
    settings: ExporterSettings,
    positions: Mapping[str, Any],
    complete: bool,
    block_bytes: int,
    feeds: Mapping[str, Feed],
) -> dict[str, Source]:
    """Every source of the settings, from where it was left."""
    found: dict[str, Source] = {}
    if settings.patterns:
        saved = positions.get(_FILES)
        position = None if saved is None else msgspec.convert(saved, Position)
        found[_FILES] = FileSource(settings.patterns, position, complete=complete, block_bytes=block_bytes)
    for origin in settings.origins:
        if origin.kind is OriginKind.FILES:
            continue
        if origin.name in feeds:
            found[origin.name] = feeds[origin.name](positions.get(origin.name))
        elif origin.kind is OriginKind.PIPE:
            raise ConfigError(f"{origin.name}: only `mlcanary exporter` reads it", hint="give log files")
        elif origin.queue is not None:
            if complete:
                raise ConfigError(f"{origin.name}: it has no end", hint="a replay reads files; name them by --log.path")
            found[origin.name] = origin.queue.open(positions.get(origin.name))
    return found
