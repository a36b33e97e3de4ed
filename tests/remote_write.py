"""Series straight into the head of a Prometheus, by its remote-write protocol 1.0: protobuf in a snappy frame.

Made for many samples of the same series: a body is laid out once, and only its values and times are filled in.
Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/, https://github.com/google/snappy format_description.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

PATH = "/api/v1/write"
_SAMPLE = 16
"""Bytes of a sample: the tag and 8 bytes of its value, the tag and 6 bytes of its time, 2**35 to 2**42 ms."""


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes((*found, number))


def _field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(content)) + content


def _record(labels: Mapping[str, str], size: int = 0) -> bytes:
    """One series: an empty sample, its labels, then a field that nobody knows, so that `size` bytes are filled."""
    pairs = (_field(0x0A, key.encode()) + _field(0x12, labels[key].encode()) for key in sorted(labels))
    content = bytes((0x12, _SAMPLE, 0x09)) + bytes(8) + b"\x10" + bytes(6) + b"".join(_field(0x0A, p) for p in pairs)
    lacking = max(0, size - len(content) - 3)
    return content + b"\x7a" + bytes((lacking & 127 | 128, lacking >> 7)) + bytes(lacking)


class Body:
    """One request for these series, `__name__` among the labels of each; `send` gives each of them one sample."""

    def __init__(self, series: Sequence[Mapping[str, str]]) -> None:
        size = max(200, *(len(_record(labels)) for labels in series))
        rows = b"".join(_field(0x0A, _record(labels, size)) for labels in series)
        self._rows = np.frombuffer(bytearray(rows), np.uint8).reshape(len(series), -1)
        self._sample = self._rows.shape[1] - size + 3

    def send(self, url: str, values: NDArray[np.float64], at: float) -> None:
        """Write these samples, all at one time (Unix seconds). Raises OSError where Prometheus refuses."""
        first = self._sample
        self._rows[:, first : first + 8] = values.astype("<f8").view(np.uint8).reshape(-1, 8)
        self._rows[:, first + 9 : first + 15] = np.frombuffer(_varint(round(at * 1000)), np.uint8)
        length = self._rows.size
        frame = _varint(length) + b"\xfc" + (length - 1).to_bytes(4, "little") + self._rows.tobytes()
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        urllib.request.urlopen(urllib.request.Request(url + PATH, frame, headers), timeout=60).close()
