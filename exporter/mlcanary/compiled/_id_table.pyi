"""The loops of `joins/id_table.py`; see id_table.c. Arrays are whatever has a contiguous buffer of the type."""

from collections.abc import Sequence

SOURCE: str
"""SHA-256 of the file that this was compiled from."""

def find(marks: object, slots: object, hashes: object, held: object, stride: int, /) -> bytearray:
    """The slot of each hash, int64, -1 where there is none. Raises ValueError for arrays that do not fit together.

    `marks` uint16 and `slots` int32 of buckets of sixteen; `hashes` uint64; `held` uint64, a hash in each
    `stride`-th place.
    """

def add(marks: object, slots: object, hashes: object, rows: object, /) -> None:
    """Enter rows, slots as int64, that `find` does not know. Raises ValueError too where no entry is free."""

def hashes_of(items: Sequence[object], /) -> bytearray:
    """Python's hash of each, int64. Raises what hashing raises."""
