"""evidently's drift and classification presets over a log of JSON lines, as its users run them.

Run by `peers.py` with the Python that evidently is installed in: `peer_evidently.py LOG REFERENCE_ROWS FEATURES`, where
FEATURES is JSON: {"numbers": [...], "categories": [...]}. The first rows of the log are the reference. Prints one JSON
object with CPU seconds: `read` for pandas and the join of the labels, `drift` and `quality` for the two presets.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from typing import Any


def rows_of(path: str, pandas: Any) -> Any:
    """A frame with a row per labelled prediction, features as columns."""
    lines = pandas.read_json(path, lines=True)
    is_label = lines["kind"] == "label"
    labels = lines.loc[is_label, ["id", "label"]]
    predictions = lines.loc[~is_label, ["id", "score", "prediction", "features"]]
    features = pandas.DataFrame(predictions["features"].tolist(), index=predictions.index)
    rows = predictions.drop(columns="features").join(features).merge(labels, on="id")
    return rows.astype({"label": int, "prediction": int}).drop(columns="id")


def main(path: str, reference_rows: int, features: dict[str, list[str]]) -> None:
    """Read, split, report."""
    os.environ["DO_NOT_TRACK"] = "1"
    # By name: neither is installed where types are checked.
    pandas, ev = importlib.import_module("pandas"), importlib.import_module("evidently")
    presets = importlib.import_module("evidently.presets")
    columns = features["numbers"] + features["categories"]
    classes = ev.BinaryClassification(target="label", prediction_labels="prediction", prediction_probas="score")
    definition = ev.DataDefinition(
        numerical_columns=features["numbers"],
        categorical_columns=features["categories"],
        classification=[classes],
    )
    clock = time.process_time
    start = clock()
    rows = rows_of(path, pandas)
    read = clock()
    reference = ev.Dataset.from_pandas(rows.iloc[:reference_rows], data_definition=definition)
    current = ev.Dataset.from_pandas(rows.iloc[reference_rows:].reset_index(drop=True), data_definition=definition)
    ev.Report([presets.DataDriftPreset(columns=columns)]).run(current, reference).dict()
    drift = clock()
    ev.Report([presets.ClassificationPreset()]).run(current, reference).dict()
    quality = clock()
    found = {
        "rows": len(rows),
        "current": len(rows) - reference_rows,
        "read": read - start,
        "drift": drift - read,
        "quality": quality - drift,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
