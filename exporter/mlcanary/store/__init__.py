"""What was read, kept as Parquet: predictions and outcomes, for training, warehouses and reports.

Loaded only where it is asked for: pyarrow comes with everything here but `settings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcanary.store.labeled import labeled_rows

__all__ = ["labeled_rows"]


def __getattr__(name: str) -> Any:
    if name == "labeled_rows":
        from mlcanary.store.labeled import labeled_rows  # noqa: PLC0415 - `settings` must load without pyarrow

        return labeled_rows
    raise AttributeError(name)
