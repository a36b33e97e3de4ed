"""Where the files of a store lie and how they are named.

    predictions/model=churn/date=2026-11-26/hour=14/segment-000000000007-3fa9c1d2.parquet
    outcomes/model=churn/...            # labels and business events, with `__HIVE_DEFAULT_PARTITION__` for no model
    _open/journal-000000000008.arrows   # rows of which no segment is made yet
    _store.json                         # layout and the name of this store, which segments carry

Guarantee: a name is parsed to what it was made of, and anything else in the directory is left alone. `date` and `hour`
(UTC) are those in which the segment was closed, not those of its rows: a past hour never gets another file, and one
segment never spreads over thousands of directories, whatever times its rows claim.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

PREDICTIONS, OUTCOMES = "predictions", "outcomes"
DATASETS = (PREDICTIONS, OUTCOMES)
NO_MODEL = "__HIVE_DEFAULT_PARTITION__"
"""What partitioned data sets call a missing value, in every reader."""

HOUR = 3600.0
_LONGEST_DIRECTORY = 255
_SEGMENT = re.compile(r"segment-(\d{12})-([0-9a-f]{8})\.parquet")
_JOURNAL = re.compile(r"journal-(\d{12})\.arrows")
_PARTITION = re.compile(r"date=(\d{4}-\d{2}-\d{2})/hour=(\d{2})")


@dataclass(frozen=True, order=True)
class Segment:
    """One Parquet file. `hour`: Unix seconds at which the hour began that it was closed in; `nbytes` on disk."""

    hour: float
    sequence: int
    path: Path
    dataset: str
    model: str | None = field(compare=False)
    nbytes: int = field(compare=False)


def model_directory(model: str | None) -> str | None:
    """The directory of a model; None if the name is too long for one.

    >>> model_directory("a b"), model_directory(None)
    ('model=a%20b', 'model=__HIVE_DEFAULT_PARTITION__')
    """
    name = f"model={NO_MODEL if model is None else quote(model, safe='')}"
    return name if len(name) <= _LONGEST_DIRECTORY else None


def segment_path(root: Path, dataset: str, model: str | None, sequence: int, closed_at: float, name: str) -> Path:
    """Where the rows of one model go. `closed_at`: Unix seconds; `name`: of the store."""
    when = datetime.fromtimestamp(closed_at, UTC)
    directory = root / dataset / (model_directory(model) or "") / f"date={when:%Y-%m-%d}" / f"hour={when:%H}"
    return directory / f"segment-{sequence:012}-{name}.parquet"


def journal_path(root: Path, sequence: int) -> Path:
    """The rows of a segment that is not made yet."""
    return root / "_open" / f"journal-{sequence:012}.arrows"


def journals(root: Path) -> dict[int, Path]:
    """The journals by their number."""
    found = ((entry, _JOURNAL.fullmatch(entry.name)) for entry in (root / "_open").iterdir())
    return {int(name[1]): entry for entry, name in found if name is not None}


def segments(root: Path, dataset: str) -> Iterator[Segment]:
    """Every segment of a data set, of any store whose files were put together here."""
    for directory, _, names in os.walk(root / dataset):
        where = Path(directory)
        hour = _PARTITION.fullmatch("/".join(where.parts[-2:]))
        if hour is None or not where.parts[-3].startswith("model="):
            continue
        began = datetime.fromisoformat(f"{hour[1]}T{hour[2]}:00:00+00:00").timestamp()
        model = unquote(where.parts[-3].removeprefix("model="))
        for name in names:
            if (found := _SEGMENT.fullmatch(name)) is not None:
                path = where / name
                known = None if model == NO_MODEL else model
                yield Segment(began, int(found[1]), path, dataset, known, path.stat().st_size)
