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

os.environ["DO_NOT_TRACK"] = "1"

pd: Any = importlib.import_module("pandas")  # by name: neither is there for the type checker
ev: Any = importlib.import_module("evidently")
presets: Any = importlib.import_module("evidently.presets")


def rows_of(path: str) -> Any:
    """A frame with a row per labelled prediction, features as columns."""
    lines = pd.read_json(path, lines=True)
    is_label = lines["kind"] == "label"
    labels = lines.loc[is_label, ["id", "label"]]
    predictions = lines.loc[~is_label, ["id", "score", "prediction", "features"]]
    features = pd.DataFrame(predictions["features"].tolist(), index=predictions.index)
    rows = predictions.drop(columns="features").join(features).merge(labels, on="id")
    return rows.astype({"label": int, "prediction": int}).drop(columns="id")


def main(path: str, reference_rows: int, features: dict[str, list[str]]) -> None:
    """Read, split, report."""
    definition = ev.DataDefinition(
        numerical_columns=features["numbers"],
        categorical_columns=features["categories"],
        classification=[
            ev.BinaryClassification(target="label", prediction_labels="prediction", prediction_probas="score")
        ],
    )
    clock = time.process_time
    start = clock()
    rows = rows_of(path)
    read = clock()
    reference = ev.Dataset.from_pandas(rows.iloc[:reference_rows], data_definition=definition)
    current = ev.Dataset.from_pandas(rows.iloc[reference_rows:].reset_index(drop=True), data_definition=definition)
    ev.Report([presets.DataDriftPreset(columns=features["numbers"] + features["categories"])]).run(
        current, reference
    ).dict()
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
