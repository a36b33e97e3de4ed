"""What a row of the demo looks like: names, order, units and files. Nothing here loads scikit-learn.

The data set (Wisconsin diagnostic breast cancer, 569 rows) does not name its unit of length. The demo reads
lengths as micrometres, so that a pipeline that starts to hand over millimetres is a bug by a factor of 1000.
"""

from __future__ import annotations

from pathlib import Path

MODEL = "tumour"
BASELINE, CANARY, NEXT = "v1", "v2", "v3"
"""Version 3 is released after version 2, in the story `release`."""

COLUMNS: dict[str, str] = {
    "mean_radius_um": "mean radius",
    "mean_perimeter_um": "mean perimeter",
    "mean_texture": "mean texture",
    "mean_smoothness": "mean smoothness",
    "mean_concavity": "mean concavity",
    "worst_radius_um": "worst radius",
    "worst_smoothness": "worst smoothness",
    "worst_symmetry": "worst symmetry",
}
"""Name on the wire -> name in the data set, in the order of every matrix here."""

FEATURES: tuple[str, ...] = tuple(COLUMNS)
LENGTHS: tuple[str, ...] = tuple(name for name in FEATURES if name.endswith("_um"))
"""Features that carry a unit of length: what a unit change spoils."""

FEATURES_OF: dict[str, tuple[str, ...]] = {BASELINE: FEATURES[:5], CANARY: FEATURES, NEXT: FEATURES}
"""What each version looks at; both are sent, and log, every feature."""

HELDOUT_FILE, REFERENCE_FILE = "heldout.csv", "reference.csv"
TRUTH = "label"
"""Column of the held-out rows: 1 is malignant, 0 benign."""


def model_file(directory: Path, version: str) -> Path:
    """Where `train` puts the model of a version."""
    return directory / f"{version}.joblib"
