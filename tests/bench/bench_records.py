"""Prediction records of a realistic size for benchmarks, made fast enough that making them is not what is measured.

A record has 20 numbers, 5 categories (one of 200 names), a score, a class, a latency and a user: 680 bytes of JSON, in
4 versions of one model. 0.5 % of the numbers are null; labels have lines of their own, later in the log.
`VARIED` is what logs of several writers look like: keys in changing order, and keys that are not always there. A parser
that only likes one order gains nothing on it. Everything is a function of the seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

MODEL = "fraud"
CATEGORIES = {"country": 8, "device": 3, "channel": 4, "plan": 4, "merchant": 200}
NUMBERS = [f"feature_{i:02d}" for i in range(20)]
FEATURES = [*NUMBERS, *CATEGORIES]
VERSIONS = ("v1", "v2", "v3", "v4")
SHARES = (0.55, 0.25, 0.15, 0.05)
NULLS, POSITIVES, USERS, THRESHOLD = 0.005, 0.1, 200_000, 0.5

LABEL_DELAY = 1000
"""Records between a prediction and its label."""

CHUNK = 10_000
"""Records that are made at once."""

_ORDERS = 64
_NAMES = {name: [f"{name[:2]}{i:03d}" for i in range(size)] for name, size in CATEGORIES.items()}
_OPTIONAL = ("user", "latency_ms")
_HEADER = ("id", "ts", "model", "version", *_OPTIONAL, "score", "prediction", "features")


@dataclass(frozen=True)
class Shape:
    """How regular the lines are: `shuffled` key orders from a pool; the share of rows in which a key is `absent`."""

    shuffled: bool = False
    absent: float = 0.0


PLAIN, VARIED = Shape(), Shape(shuffled=True, absent=0.1)


@dataclass(frozen=True)
class Rows:
    """What n records hold, as columns. `numbers`: shape (n, 20), NaN where null or absent; `here`: which keys exist."""

    version: NDArray[np.intp]
    numbers: NDArray[np.float64]
    categories: NDArray[np.intp]
    score: NDArray[np.float64]
    actual: NDArray[np.intp]
    latency: NDArray[np.float64]
    user: NDArray[np.intp]
    here: NDArray[np.bool_]
    order: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def predicted(self) -> NDArray[np.intp]:
        """The class that each record names."""
        return (self.score >= THRESHOLD).astype(np.intp)

    @classmethod
    def random(cls, count: int, seed: Sequence[int], shape: Shape = PLAIN) -> Rows:
        """`count` records; the same for the same arguments."""
        random = np.random.default_rng(seed)
        numbers = np.round(random.standard_normal((count, len(NUMBERS))), 5)
        numbers[:, :4] = np.round(np.exp(numbers[:, :4]), 5)  # amounts and counts are skewed
        actual = (random.random(count) < POSITIVES).astype(np.intp)
        logit = random.standard_normal(count) + 1.6 * actual - 1.5
        numbers[random.random(numbers.shape) < NULLS] = np.nan
        here = random.random((count, len(FEATURES) + len(_OPTIONAL))) >= shape.absent
        numbers[~here[:, : len(NUMBERS)]] = np.nan
        return cls(
            version=random.choice(len(VERSIONS), count, p=SHARES).astype(np.intp),
            numbers=numbers,
            categories=np.stack([random.integers(0, size, count) for size in CATEGORIES.values()], axis=1),
            score=np.round(1 / (1 + np.exp(-logit)), 6),
            actual=actual,
            latency=np.round(random.lognormal(2.5, 0.5, count), 3),
            user=random.integers(0, USERS, count),
            here=here,
            order=random.integers(0, _ORDERS, count) if shape.shuffled else np.zeros(count, dtype=np.intp),
        )


def prediction_lines(
    rows: Rows, first: int, times: NDArray[np.int64], shape: Shape = PLAIN, seed: int = 0
) -> list[bytes]:
    """Lines of these records, without line feeds. `first`: number of the first; `times`: Unix milliseconds."""
    header, features = _orders(shape)
    names = [[_NAMES[name][code] for code in rows.categories[:, i].tolist()] for i, name in enumerate(CATEGORIES)]
    values = [[*row, *found] for row, found in zip(rows.numbers.tolist(), zip(*names, strict=True), strict=True)]
    encode = msgspec.json.encode  # NaN becomes null
    lines = []
    columns = (rows.version, times, rows.score, rows.predicted, rows.latency, rows.user, rows.order)
    each = zip(*(column.tolist() for column in columns), rows.here.tolist(), values, strict=True)
    for i, (version, ms, score, predicted, latency, user, order, here, row) in enumerate(each, first):
        if shape.absent:
            found = {FEATURES[j]: row[j] for j in features[order] if here[j]}
        elif shape.shuffled:
            found = {FEATURES[j]: row[j] for j in features[order]}
        else:
            found = dict(zip(FEATURES, row, strict=True))
        pieces = (
            f'"id":"{record_id(i, seed)}"',
            f'"ts":{ms // 1000}.{ms % 1000:03d}',
            f'"model":"{MODEL}"',
            f'"version":"{VERSIONS[version]}"',
            f'"user":"u{user:07d}"',
            f'"latency_ms":{latency}',
            f'"score":{score}',
            f'"prediction":{predicted}',
            f'"features":{encode(found).decode()}',
        )
        kept = [pieces[j] for j in header[order] if shape.absent == 0 or _is_here(j, here)]
        lines.append(("{" + ",".join(kept) + "}").encode())
    return lines


def label_lines(actual: NDArray[np.intp], first: int, times: NDArray[np.int64], seed: int = 0) -> list[bytes]:
    """Lines of labels, without line feeds. `first`: number of the first prediction; `times`: Unix milliseconds."""
    pairs = zip(actual.tolist(), times.tolist(), strict=True)
    return [
        f'{{"kind":"label","id":"{record_id(i, seed)}","ts":{ms // 1000}.{ms % 1000:03d},"label":{label}}}'.encode()
        for i, (label, ms) in enumerate(pairs, first)
    ]


def record_id(number: int, seed: int = 0) -> str:
    """The id of a record; the digits have a fixed place, so that they can be written anew."""
    return f"req-{seed:04x}-{number:016d}"


def blocks(
    count: int, start: float, rate: float = 1000.0, seed: int = 0, shape: Shape = PLAIN, delay: int = LABEL_DELAY
) -> Iterator[bytes]:
    """Lines of `count` predictions, each followed `delay` records later by its label, some thousand at a time.

    `start`: Unix seconds of the first; `rate`: records per second of event time. The last `delay` have no label.
    """
    actual = np.zeros(0, dtype=np.intp)
    start_ms = round(start * 1000)
    for first in range(0, count, CHUNK):
        rows = Rows.random(min(CHUNK, count - first), (seed, first), shape)
        end = first + len(rows)
        times = start_ms + np.round(np.arange(first, end) * (1000.0 / rate)).astype(np.int64)
        predictions = prediction_lines(rows, first, times, shape, seed)
        actual = np.append(actual[-delay:], rows.actual)  # of the records that end with this chunk
        begin = max(first - delay, 0)
        due = actual[begin - end + len(actual) : max(end - delay, 0) - end + len(actual)]
        labels = label_lines(due, begin, times[len(times) - len(due) :], seed)
        yield b"\n".join(interleaved(predictions, labels)) + b"\n"


def lines(
    count: int, start: float, rate: float, seed: int = 0, shape: Shape = VARIED, delay: int = LABEL_DELAY
) -> Iterator[bytes]:
    """The lines of `blocks` one by one, as irregular as logs are unless `shape` says otherwise."""
    for block in blocks(count, start, rate, seed, shape, delay):
        yield from block.splitlines(keepends=True)


def interleaved(predictions: Sequence[Any], labels: Sequence[Any]) -> list[Any]:
    """Predictions in turn with labels; where there are fewer labels, the first predictions have none."""
    alone = len(predictions) - len(labels)
    found = list(predictions[:alone])
    for pair in zip(predictions[alone:], labels, strict=True):
        found += pair
    return found


def _orders(shape: Shape) -> tuple[list[list[int]], list[list[int]]]:
    """Orders of the keys of a record and of its features; the first of each is the plain one."""
    random = np.random.default_rng(0)
    header, features = [list(range(len(_HEADER)))], [list(range(len(FEATURES)))]
    while shape.shuffled and len(header) < _ORDERS:
        header.append(random.permutation(len(_HEADER)).tolist())
        features.append(random.permutation(len(FEATURES)).tolist())
    return header, features


def _is_here(place: int, here: Sequence[bool]) -> bool:
    name = _HEADER[place]
    return name not in _OPTIONAL or here[len(FEATURES) + _OPTIONAL.index(name)]
