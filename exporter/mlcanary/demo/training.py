"""Three models of one data set that scikit-learn ships, and the rows that neither has seen.

Guarantee: `train` is deterministic in `seed` and never lets a held-out row into a model or the reference.
Version 2 sees three more features than version 1 and is a little better: a release that deserves its canary. Version 3
sees the same as version 2 and is regularised more: another artefact, about as good.

Source: `sklearn.datasets.load_breast_cancer`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlcanary.demo.dataset import (
    BASELINE,
    CANARY,
    COLUMNS,
    FEATURES,
    FEATURES_OF,
    HELDOUT_FILE,
    NEXT,
    REFERENCE_FILE,
    TRUTH,
    model_file,
)

Matrix = NDArray[np.float64]

REGULARISED: dict[str, float] = {BASELINE: 1.0, CANARY: 1.0, NEXT: 0.5}
"""Inverse strength of the penalty, by version."""


def train(directory: Path, *, seed: int = 20) -> None:
    """Write the models, the held-out rows (with truth) and the reference (training rows, baseline score).

    `directory` exists. Half of the rows are held out.
    """
    data = load_breast_cancer()
    names = [str(name) for name in data.feature_names]
    values: Matrix = data.data[:, [names.index(column) for column in COLUMNS.values()]]
    malignant = 1 - data.target
    rows = np.random.default_rng(seed).permutation(len(values))
    training, heldout = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    for version, features in FEATURES_OF.items():
        model = make_pipeline(StandardScaler(), LogisticRegression(C=REGULARISED[version], max_iter=1000))
        model.fit(values[training][:, : len(features)], malignant[training])
        joblib.dump(model, model_file(directory, version))
        if version == BASELINE:
            scores = model.predict_proba(values[training][:, : len(features)])[:, 1]
    _write(directory / REFERENCE_FILE, (*FEATURES, "score"), np.column_stack([values[training], scores]))
    _write(directory / HELDOUT_FILE, (*FEATURES, TRUTH), np.column_stack([values[heldout], malignant[heldout]]))


def _write(path: Path, header: Sequence[str], rows: Iterable[Iterable[float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([f"{value:.6g}" for value in row] for row in rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m mlcanary.demo.training DIRECTORY`."""
    parser = argparse.ArgumentParser(description="Train every version of the demo's model.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args(arguments)
    options.directory.mkdir(parents=True, exist_ok=True)
    train(options.directory, seed=options.seed)


if __name__ == "__main__":
    main()
