"""The stored form of rows in columns: pages of 256 sequence numbers, of which only those that changed are written.

Guarantee: what `drain` gives, applied in order, is always the whole truth of the plain rows: `restore` makes the same
rows of it. The ids of a page are written once, when its rows are new; after that they are on disk only, so that memory
holds ids of pages that were never stored, and no others. Ids of rows that are gone are dropped from a page's list once
they outnumber the living by four to one.
Cost: 16 KB per changed page, and each id once. What could not be stored is bounded by the rows that live.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlcanary.columns import NONE
from mlcanary.joins.id_table import Slots
from mlcanary.joins.names import Names
from mlcanary.joins.row_ring import (
    ASSUMED,
    DONE,
    HAS_USER,
    LIVE,
    MATURED,
    ODD,
    ROW,
    RowRing,
    Rows,
    no_rows,
    pick,
    together,
)
from mlcanary.joins.rows import Changes, Key

PAGE_BITS = 8
"""A page is the rows whose sequence numbers differ in these low bits only."""

_LOOSE_IDS = 4096
"""Ids that are held as strings; more are packed, as a save may be many thousand rows away."""

_PAGES_AT_ONCE = 64

_PLAIN = LIVE | DONE | MATURED | ASSUMED | HAS_USER
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(tuple[bytes, list[str]]).decode


class Chunk(NamedTuple):
    """Ids of new rows of one page as they are stored; `first`: the least of their numbers."""

    page: int
    first: int
    ids: bytes
    rows: int


class LivePages(Collection[tuple[int, bytes | None]]):
    """Pages that are gone, then those of rows in the ring, which are read one page at a time."""

    def __init__(self, ring: RowRing, gone: Sequence[int], parts: Mapping[int, Slots]) -> None:
        self._ring, self._gone, self._parts = ring, gone, parts

    def __len__(self) -> int:
        return len(self._gone) + len(self._parts)

    def __contains__(self, item: object) -> bool:
        return any(item == each for each in self)

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        yield from ((page, None) for page in self._gone)
        for page, slots in self._parts.items():
            rows = self._ring.read(slots)
            rows["hash"] = 0
            yield page, rows.tobytes()


class JoinChanges(NamedTuple):
    """What is to be stored, in this order.

    `pages` of rows, None where the page and its ids are gone; `ids` by first sequence number; `thin`: page and the low
    bits of the rows whose ids it still needs. `odd`: rows of the machine with their sequence number, -1 without one;
    None for a row that is gone. `whole`, `odd_whole`: there is nothing but these. The rest is for `redrain`.
    `pages` read the rows when they are asked for: store them before anything else is joined.
    """

    whole: bool = False
    pages: Collection[tuple[int, bytes | None]] = ()
    ids: Sequence[tuple[int, bytes]] = ()
    thin: Sequence[tuple[int, bytes]] = ()
    odd: Sequence[tuple[Key, bytes | None, int]] = ()
    odd_whole: bool = False
    fresh: Sequence[Chunk] = ()
    counts: Mapping[int, int] = MappingProxyType({})
    machine: Changes = Changes(False, [])


class StoredJoin(NamedTuple):
    """What was stored: `pages` and `ids` in the order of their numbers, `odd` in the order in which it was written."""

    pages: Iterable[tuple[int, bytes]] = ()
    ids: Iterable[tuple[int, bytes]] = ()
    odd: Iterable[tuple[Key, bytes, int]] = ()


class PageNotes:
    """Which pages changed since they were stored, and the ids that never were."""

    def __init__(self, stored: bool) -> None:
        """`stored`: somebody calls `drain`; else nothing is noted."""
        self._stored = stored
        self._whole = True
        self._ids: dict[int, str | None] = {}
        self._packed: list[Chunk] = []
        self._dirty: set[int] = set()
        self._on_disk: dict[int, int] = {}

    def add(self, seqs: NDArray[np.int64], ids: Sequence[str | None], oldest: int = 0) -> None:
        """New rows, in rising order of their numbers; `oldest`: the least number of a row that is remembered."""
        if self._stored and len(seqs):
            self._ids.update(zip(seqs.tolist(), ids, strict=True))
            self._dirty.update(range(int(seqs[0]) >> PAGE_BITS, (int(seqs[-1]) >> PAGE_BITS) + 1))
            if len(self._ids) > _LOOSE_IDS:
                self._pack()
                self._packed = [chunk for chunk in self._packed if chunk.page >= oldest >> PAGE_BITS]

    def touch(self, seqs: NDArray[np.int64]) -> None:
        """Rows that changed."""
        if self._stored:
            self._dirty.update((seqs >> PAGE_BITS).tolist())

    def remove(self, seqs: NDArray[np.int64]) -> None:
        """Rows that are plain ones no more."""
        if self._stored:
            self.touch(seqs)
            if self._ids:
                for seq in seqs[seqs >= next(iter(self._ids))].tolist():
                    self._ids.pop(seq, None)

    def drain(self, ring: RowRing) -> JoinChanges:
        """What changed since the last call; the first one, without a `restore`, gives everything."""
        if not self._stored:
            return JoinChanges()
        parts = _by_page(ring, None if self._whole else self._dirty)
        before = {page: self._on_disk.get(page, 0) for page in self._dirty | parts.keys()}
        gone = [page for page in sorted(self._dirty) if page not in parts and page in self._on_disk]
        for page in gone:
            del self._on_disk[page]
        self._pack()
        # Ids that were packed are not taken out when their rows go, but those of a page without rows are of no use.
        fresh = [chunk for chunk in self._packed if chunk.page in parts]
        for chunk in fresh:
            self._on_disk[chunk.page] = self._on_disk.get(chunk.page, 0) + chunk.rows
        thin = []
        for page, part in parts.items():
            if len(part) * 4 + 8 < self._on_disk.get(page, 0):
                thin.append((page, _low_bits(ring.rows["seq"][part])))
                self._on_disk[page] = len(part)
        ids = [(chunk.first, chunk.ids) for chunk in fresh]
        pages = LivePages(ring, gone, parts)
        changes = JoinChanges(self._whole, pages, ids, thin, fresh=fresh, counts=before)
        self._whole, self._packed, self._dirty = False, [], set()
        return changes

    def _pack(self) -> None:
        """Ids that are not on disk yet as they will be, a sixth of the memory: by page, in rising order of numbers."""
        seqs, texts = np.fromiter(self._ids, dtype=np.int64, count=len(self._ids)), list(self._ids.values())
        pages, starts = np.unique(seqs >> PAGE_BITS, return_index=True)
        for page, (start, end) in zip(pages.tolist(), pairwise([*starts.tolist(), len(seqs)]), strict=True):
            ids = _ENCODE((_low_bits(seqs[start:end]), texts[start:end]))
            self._packed.append(Chunk(page, int(seqs[start]), ids, end - start))
        self._ids = {}

    def redrain(self, changes: JoinChanges, ring: RowRing) -> None:
        """Give these out again at the next `drain`: they could not be stored."""
        if not self._stored:
            return
        self._whole |= changes.whole
        self._packed = [*changes.fresh, *self._packed]
        for page, count in changes.counts.items():
            self._on_disk.pop(page, None)
            if count:
                self._on_disk[page] = count
        living = _by_page(ring, None).keys()
        self._dirty = {p for p in self._dirty | changes.counts.keys() if p in living or p in self._on_disk}

    def restore(self, stored: StoredJoin, names: Names, odd: Sequence[tuple[int, Key]]) -> tuple[Rows, int]:
        """All rows, oldest first, with their hashes, and the next sequence number; `odd`: number and key of odd ones.

        Raises ValueError for what `drain` never gave.
        """
        self._whole = False
        parts = [_stubs(odd, names)]
        last = max((seq for seq, _ in odd), default=-1)
        chunks = groupby(stored.ids, lambda item: item[0] >> PAGE_BITS)
        texts: dict[int, str] = {}
        for page, blob in stored.pages:
            rows = _decoded(page, blob, names)
            for own, chunk in chunks:
                texts = _texts(chunk)
                last = max(last, own << PAGE_BITS)
                if own == page:
                    break
            low = (rows["seq"] & ((1 << PAGE_BITS) - 1)).tolist()
            if not texts.keys() >= set(low):
                raise ValueError(f"page {page} of the join lacks ids")
            self._on_disk[page] = len(texts)
            hashed = np.array([hash(texts[bits]) for bits in low], dtype=np.int64)
            models = names.model_of[rows["key"]]
            for model in np.unique(models).tolist():
                rows["hash"][models == model] = names.hashes(hashed[models == model], model)
            parts.append(rows)
        rows = together(parts)
        rows = pick(rows, np.argsort(rows["seq"], kind="stable"))
        if len(rows):
            if (np.diff(rows["seq"]) == 0).any() or rows["seq"][0] < 0:
                raise ValueError("rows of the join that stand twice")
            last = max(last, int(rows["seq"][-1]))
        # A page that was begun is never gone on with: its ids on disk may be those of rows that are gone.
        return rows, ((last >> PAGE_BITS) + 1) << PAGE_BITS


def _by_page(ring: RowRing, pages: set[int] | None) -> dict[int, Slots]:
    """Slots of the plain rows of some pages, None: of all; oldest first."""
    parts: dict[int, Slots] = {}
    for slots in _plain(ring, pages):
        numbers, starts = np.unique(ring.rows["seq"][slots] >> PAGE_BITS, return_index=True)
        parts.update(zip(numbers.tolist(), np.split(slots, starts[1:]), strict=False))
    return parts


def _plain(ring: RowRing, pages: set[int] | None) -> Iterator[Slots]:
    """Slots of the plain rows of some pages, of a few at a time; None: of all at once."""
    numbers = np.array([] if pages is None else sorted(pages), dtype=np.int64)
    for start in range(0, len(numbers), _PAGES_AT_ONCE):
        few = numbers[start : start + _PAGES_AT_ONCE]
        slots = ring.numbered(few << PAGE_BITS, 1 << PAGE_BITS)
        slots = slots[np.isin(ring.rows["seq"][slots] >> PAGE_BITS, few)]
        if len(slots := slots[(ring.rows["flags"][slots] & ODD) == 0]):
            yield slots
    if pages is None and len(slots := ring.ordered()):
        yield slots[(ring.rows["flags"][slots] & ODD) == 0]


def thinned(chunks: Iterable[tuple[int, bytes]], keep: bytes) -> tuple[int, bytes]:
    """The stored ids of one page without those of rows that are gone: first sequence number and ids, to be stored."""
    chunks = list(chunks)
    texts = _texts(iter(chunks))
    base = chunks[0][0] >> PAGE_BITS << PAGE_BITS
    return base + keep[0], _ENCODE((keep, [texts[bits] for bits in keep]))


def _texts(chunks: Iterator[tuple[int, bytes]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for _, blob in chunks:
        bits, ids = _DECODE(blob)
        found.update(zip(bits, ids, strict=True))
    return found


def _low_bits(seqs: NDArray[np.int64]) -> bytes:
    return (seqs & ((1 << PAGE_BITS) - 1)).astype(np.uint8).tobytes()


def _decoded(page: int, blob: bytes, names: Names) -> Rows:
    if len(blob) % ROW.itemsize:
        raise ValueError(f"page {page} of the join was cut")
    rows: Rows = np.frombuffer(blob, dtype=ROW).copy()
    classes = len(names.classes.names)
    usable = (rows["seq"] >> PAGE_BITS == page) & (rows["key"] < len(names.keys)) & np.isfinite(rows["ts"])
    usable &= ((rows["flags"] & LIVE) != 0) & ((rows["flags"] & ~np.uint16(_PLAIN)) == 0)
    usable &= rows["segments"] < len(names.segments)
    for name in ("predicted", "label"):
        usable &= (rows[name] >= NONE) & (rows[name] < classes)
    if not usable.all():
        raise ValueError(f"page {page} of the join holds what no row can be")
    return rows


def _stubs(odd: Sequence[tuple[int, Key]], names: Names) -> Rows:
    rows = no_rows(len(odd))
    rows["flags"] = LIVE | ODD
    for i, (seq, (model, row_id)) in enumerate(odd):
        code = names.model_code(model)
        if code is None:
            raise ValueError(f"a row of the join is of model {model!r}, which has no version")
        rows["seq"][i] = seq
        rows["key"][i] = int(np.flatnonzero(names.model_of == code)[0])
        rows["hash"][i] = names.hashes(np.array([hash(row_id)], dtype=np.int64), code)[0]
    return rows
