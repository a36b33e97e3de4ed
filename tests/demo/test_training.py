"""The models of the demo: what they know, what they never saw, how far the bug throws them."""

from __future__ import annotations

import csv
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from mlcanary.demo.dataset import (
    BASELINE,
    CANARY,
    FEATURES,
    FEATURES_OF,
    HELDOUT_FILE,
    LENGTHS,
    NEXT,
    REFERENCE_FILE,
    TRUTH,
    model_file,
)
from mlcanary.demo.traffic import read_rows
from mlcanary.demo.training import Matrix, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    train(directory)
    return directory


def accuracy(directory: Path, version: str, length_factor: float = 1.0) -> float:
    rows = read_rows(directory / HELDOUT_FILE)
    scale = [length_factor if name in LENGTHS else 1.0 for name in FEATURES]
    values: Matrix = np.array([list(row.features.values()) for row in rows]) * scale
    model = joblib.load(model_file(directory, version))
    guessed = model.predict(values[:, : len(FEATURES_OF[version])])
    return float(accuracy_score([row.label for row in rows], guessed))


def test_version_2_is_a_little_better_than_version_1(trained: Path) -> None:
    assert 0.90 < accuracy(trained, BASELINE) < accuracy(trained, CANARY)


def test_version_3_is_another_artefact_than_version_2_and_about_as_good(trained: Path) -> None:
    assert model_file(trained, NEXT).read_bytes() != model_file(trained, CANARY).read_bytes()
    assert abs(accuracy(trained, NEXT) - accuracy(trained, CANARY)) < 0.01


def test_a_unit_change_throws_version_2_far_below_the_fast_rules_limit(trained: Path) -> None:
    assert accuracy(trained, CANARY, length_factor=0.001) < accuracy(trained, BASELINE) - 0.25


def test_training_twice_gives_the_same_rows(trained: Path, tmp_path: Path) -> None:
    train(tmp_path)
    for name in (HELDOUT_FILE, REFERENCE_FILE):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_no_heldout_row_is_in_the_reference(trained: Path) -> None:
    def features(name: str) -> set[tuple[str, ...]]:
        with (trained / name).open(newline="", encoding="utf-8") as file:
            return {tuple(row[feature] for feature in FEATURES) for row in csv.DictReader(file)}

    heldout, reference = features(HELDOUT_FILE), features(REFERENCE_FILE)
    assert len(heldout) + len(reference) == 569
    assert not heldout & reference


def test_the_reference_carries_scores_and_the_heldout_rows_the_truth(trained: Path) -> None:
    headers = {
        name: (trained / name).read_text(encoding="utf-8").splitlines()[0].split(",")
        for name in (HELDOUT_FILE, REFERENCE_FILE)
    }
    assert headers == {HELDOUT_FILE: [*FEATURES, TRUTH], REFERENCE_FILE: [*FEATURES, "score"]}
