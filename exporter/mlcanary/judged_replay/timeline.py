"""Finished logs as one stream: the records of all files in the order in which their lines were written.

Guarantee: a function of what the files hold, and of nothing else. A line is taken to be as old as the newest line
before it in its file, so a label that tells of yesterday comes when it was written. Of five neighbouring lines the
median counts: up to two clocks in five lines that run ahead do not move the others. A line without a time has that of
its neighbours. Lines of equal age come by file, then in their order.
Cost: memory for a block or two of each file; a logarithm of the number of files for each line.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np

from mlcanary.inputs import Inputs
from mlcanary.line_order import LineOrder, written_at
from mlcanary.records import Prediction, Record
from mlcanary.replay import note_examples, share_read
from mlcanary.sources.contract import Block
from mlcanary.stats.accumulator import Floats

Progress = Callable[[int, float], None]
"""Told the lines read and the share of bytes done."""


class Timeline:
    """Reads `source` to its end. `now`: Unix seconds, bounds times in the future.

    `lines`, `rejected`, `examples` of them and what `order` knows grow while it is iterated.
    """

    def __init__(self, source: Inputs, now: float, progress: Progress) -> None:
        self.lines = 0
        self.rejected: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.order = LineOrder()
        self._source, self._now, self._progress = source, now, progress
        self._reached: dict[str, float] = {}
        self._waiting: dict[str, deque[tuple[float, Record]]] = {}
        self._heads: list[tuple[float, str]] = []

    def __iter__(self) -> Iterator[tuple[float, Record]]:
        """(Unix seconds, record); -inf while nothing before a line tells a time."""
        # The file furthest behind is read first, so whatever is unread is at least as far as the file just read was.
        while (block := self._source.read(self._reached)) is not None:
            bound = self._reached.get(block.source, -math.inf)
            self._take(block)
            self._progress(self.lines, share_read(self._source))
            yield from self._until(bound)
        yield from self._until(math.inf)

    def _take(self, block: Block) -> None:
        name, decoded = block.source, self._source.decode(block, self._now)
        self.lines += decoded.lines
        self.rejected.update(reject.reason for reject in decoded.rejects)
        note_examples(self.examples, decoded.rejects)
        if not decoded.records:
            return
        before = self._reached.get(name, -math.inf)
        times = np.array([record.ts for record in decoded.records])
        times[times == self._now] = np.nan  # the decoder's word for a line without a time
        ages = written_at(times, before)
        self._reached[name] = float(ages[-1])
        asked = np.array([isinstance(record, Prediction) for record in decoded.records])
        self.order.take(times[asked], ages[asked])
        queue = self._waiting.setdefault(name, deque())
        if not queue:
            heapq.heappush(self._heads, (float(ages[0]), name))
        queue.extend(zip(ages.tolist(), _timed(decoded.records, ages, np.isnan(times)), strict=True))

    def _until(self, bound: float) -> Iterator[tuple[float, Record]]:
        heads = self._heads
        while heads and (heads[0][0] < bound or bound == math.inf):
            name = heads[0][1]
            queue = self._waiting[name]
            yield queue.popleft()
            if queue:
                heapq.heapreplace(heads, (queue[0][0], name))
            else:
                heapq.heappop(heads)


def _timed(records: Sequence[Record], ages: Floats, missing: np.ndarray) -> Sequence[Record]:
    """The records, those without a time of their own with the age of their line where it is known."""
    if not missing.any():
        return records
    return [
        msgspec.structs.replace(record, ts=age) if none and math.isfinite(age) else record
        for record, age, none in zip(records, ages.tolist(), missing.tolist(), strict=True)
    ]
