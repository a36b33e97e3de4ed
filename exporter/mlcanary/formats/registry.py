"""Every log format by its name in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlcanary.formats.bentoml import BentoMLFormat
from mlcanary.formats.contract import Format, FormatOptions, RowFormat, RowsDecoder
from mlcanary.formats.mapping import MappingFormat
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.measures.plan import ModelPlan

ROW_FORMATS: Mapping[str, Callable[[FormatOptions], RowFormat]] = {
    "bentoml": BentoMLFormat,
    "mapping": MappingFormat,
}
"""Formats other than native. Raise ValueError, with what is allowed, for options that they cannot use."""

FORMATS = ("native", *ROW_FORMATS)


def make_format(options: FormatOptions, plan_of: Callable[[str], ModelPlan]) -> Format:
    """A fresh decoder for one source. Raises KeyError on an unknown name, ValueError on unusable options."""
    reader = RowReader(plan_of, model=options.model, version=options.version, path=options.path)
    if options.name == "native":
        return NativeFormat(reader)
    return RowsDecoder(ROW_FORMATS[options.name](options), reader)
