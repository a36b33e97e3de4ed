"""Plain native lines to arrays; see plain_lines.c."""

SOURCE: str
"""SHA-256 of the file that this was compiled from."""

class Plan:
    """Names of keys, and the words and tokens that lines were the first to use."""

    def __new__(
        cls,
        numbers: tuple[bytes, ...],
        texts: tuple[bytes, ...],
        strange: tuple[bytes, ...],
        ignored: tuple[bytes, ...],
    ) -> Plan: ...
    def parse(
        self, block: bytes, start: int, most_lines: int, /
    ) -> tuple[
        int, int, int, int, int, int, tuple[bytearray, ...], list[str | None], list[str], list[bytes], list[bytes]
    ]:
        """Lines, predictions, labels, lines that are left, where the next line starts, room for n rows; arrays; ids of
        predictions and labels; new words and tokens.

        Arrays, with room for n rows in each column. Predictions: doubles (4, n), time, score, latency, queue; int32
        (8, n), start and end of the line, model, label, version, prediction, start and length of the user; doubles
        (numbers, n); int32 (texts, n); bool (strange, n). Labels: doubles (1, n), time; int32 (4, n), start, end,
        model, label. Lines that are left: int32 (2, n), start, end.
        """

def hash_users(block: bytes, starts: object, lengths: object, key: bytes, /) -> bytearray:
    """Keyed BLAKE2b of 64 bits of pieces of a block; 0 for those that are empty."""

def line_feeds(block: bytes, /) -> int:
    """How many there are."""

def number(text: bytes, /) -> float | None:
    """The double of a JSON number, None where it is left to others."""

def seconds(text: bytes, /) -> float | None:
    """Unix seconds of a text, None where it is left to others."""
