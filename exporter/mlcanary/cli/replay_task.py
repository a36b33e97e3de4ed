"""Whether a log that was replayed as one of a binary model looks like another task, as the doctor sees it."""

from __future__ import annotations

import io
from collections.abc import Iterator

from mlcanary.catalog import Task
from mlcanary.doctor.recognition import best_reading
from mlcanary.doctor.sample import SampleLimits, take_sample
from mlcanary.errors import InputError
from mlcanary.records import Prediction
from mlcanary.settings import ExporterSettings
from mlcanary.source_settings import OriginKind

_LOOKS = {
    Task.MULTICLASS: "more than two classes",
    Task.REGRESSION: "amounts as answers, no classes",
    Task.RANKING: "`items`",
}


def other_tasks(settings: ExporterSettings, now: float) -> Iterator[str]:
    """A line for each model whose first predictions are no binary model's, with the flag that reads them."""
    told: set[str] = set()
    for origin in settings.origins:
        if origin.kind is not OriginKind.FILES:
            continue
        try:
            sample = take_sample(origin.name, SampleLimits(), io.BytesIO())
        except InputError:
            continue  # the replay itself says what cannot be read
        reading = best_reading(origin.format, sample.logs, now)
        asked = (each.record for each in reading.predictions)
        models = {record.key.model for record in asked if isinstance(record, Prediction)}
        if len(models) != 1 or reading.task not in _LOOKS or models <= told:
            continue  # of several models nobody knows whose task it is
        (model,) = models
        if settings.plan.model(model).task is Task.BINARY:
            told.add(model)
            yield (
                f"{model} was read as binary, but its predictions have {_LOOKS[reading.task]}: "
                f"--model.task {reading.task.value}, or `task: {reading.task.value}` of the model in --config.file"
            )
