"""Every log format by its name in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from mlcanary.formats.azureml import AzureMLFormat
from mlcanary.formats.bentoml import BentoMLFormat
from mlcanary.formats.cloudevents import CloudEventsFormat
from mlcanary.formats.contract import Format, FormatOptions, RowFormat, RowsDecoder
from mlcanary.formats.inference_protocol import InferenceProtocolFormat
from mlcanary.formats.mapping import MappingFormat
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.formats.sagemaker import SageMakerFormat
from mlcanary.measures.plan import ModelPlan

ROW_FORMATS: Mapping[str, Callable[[FormatOptions], RowFormat]] = {
    "cloudevents": CloudEventsFormat,
    "kserve": CloudEventsFormat,
    "seldon1": CloudEventsFormat,
    "oip-v2": InferenceProtocolFormat,
    "mlserver": InferenceProtocolFormat,
    "bentoml": BentoMLFormat,
    "sagemaker": SageMakerFormat,
    "azureml": AzureMLFormat,
    "databricks": MappingFormat,
    "vertex": MappingFormat,
    "mapping": MappingFormat,
}
"""Formats other than native. Raise ValueError, with what is allowed, for options that they cannot use."""

ENVELOPED = frozenset({"cloudevents", "kserve", "seldon1", "oip-v2", "mlserver"})
"""Formats that read a message's headers: a source that has headers hands them `envelope.envelope_line`."""

FORMATS = ("native", *ROW_FORMATS)


def make_format(options: FormatOptions, plan_of: Callable[[str], ModelPlan], *, columns: bool = True) -> Format:
    """A fresh decoder for one source; without `columns` it gives records only, in the order of their lines.

    Raises KeyError on an unknown name, ValueError on unusable options.
    """
    reader = RowReader(plan_of, model=options.model, version=options.version, path=options.path)
    if options.name == "native":
        return NativeFormat(reader, columns=columns)
    options = replace(options, task_of=lambda model: plan_of(model).task)
    return RowsDecoder(ROW_FORMATS[options.name](options), reader)
