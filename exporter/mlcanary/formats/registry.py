"""Every log format by its name in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlcanary.formats.contract import Format, FormatOptions, RowFormat, RowsDecoder
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan

ROW_FORMATS: Mapping[str, Callable[[FormatOptions], RowFormat]] = {}
"""Formats other than native. Raise ValueError, with what is allowed, for options that they cannot use."""

FORMATS = ("native", *ROW_FORMATS)


def make_format(options: FormatOptions, plan_of: Callable[[str], ModelPlan], *, columns: bool = True) -> Format:
    """A fresh decoder for one source; without `columns` it gives records only, in the order of their lines.

    Raises KeyError on an unknown name, ValueError on unusable options.
    """
    reader = RowReader(plan_of, model=options.model, version=options.version, path=options.path)
    if options.name == "native":
        return NativeFormat(reader, columns=columns)
    return RowsDecoder(ROW_FORMATS[options.name](options), reader)
