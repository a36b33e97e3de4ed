"""The reference profile as a file: JSON, written by `mlcanary profile`, read by the exporter.

Guarantee: what is written reads back equal; anything else is a ConfigError that names file, line and key. The
file holds edges, counts, extremes and the names of categories, so it can be committed and reviewed; rows only where a
sample was asked for, and only as bin numbers. What an older version did not write is None, and the figures that need it
are absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from mlcanary.catalog import PREDICTION_FEATURE
from mlcanary.documents import Schema, error_at, load_document
from mlcanary.errors import ConfigError
from mlcanary.measures.reference import CategoricalReference, FeatureReference, NumericReference, Reference

_MARK = "mlcanary_profile"
"""The key that every profile has."""
Count = Annotated[float, msgspec.Meta(ge=0)]


class NumericDocument(Schema, frozen=True, tag_field="kind", tag="numeric"):
    """Inner edges, and per bin the rows and their mean; the least and the greatest of all."""

    edges: list[float]
    counts: list[Count]
    means: list[float]
    stddev: Count
    missing: Count = 0.0
    min: float | None = None
    max: float | None = None


class CategoricalDocument(Schema, frozen=True, tag_field="kind", tag="categorical"):
    """Rows per category, and of all other names together; `tail` are those names, all of them if `complete`."""

    categories: dict[str, Count]
    other: Count = 0.0
    missing: Count = 0.0
    tail: tuple[str, ...] = ()
    complete: bool = False


class ProfileDocument(Schema, frozen=True):
    """The whole file."""

    mlcanary_profile: Literal[1]
    rows: Annotated[int, msgspec.Meta(ge=1)]
    features: dict[str, NumericDocument | CategoricalDocument]
    score: NumericDocument | None = None
    model: str | None = None
    prediction: NumericDocument | CategoricalDocument | None = None
    target_mean: float | None = None
    sample: dict[str, str] | None = None


def write_profile(reference: Reference) -> bytes:
    """The file of a reference, indented, ends in a line feed."""
    document = ProfileDocument(
        mlcanary_profile=1,
        rows=reference.rows,
        features={name: _document(feature) for name, feature in reference.features.items()},
        score=None if reference.score is None else _numeric_document(reference.score),
        model=reference.model,
        prediction=None if reference.prediction is None else _document(reference.prediction),
        target_mean=reference.target_mean,
        sample=None if reference.sample is None else {n: _column(bins) for n, bins in reference.sample.items()},
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def read_profile(text: str, source: str) -> Reference:
    """The reference of a file's text; `source` is its name for messages. Raises ConfigError."""
    if _MARK not in text:
        raise no_profile(source)
    document = load_document(text, source, ProfileDocument)
    if PREDICTION_FEATURE in document.features:
        raise error_at(
            text,
            source,
            ["features", PREDICTION_FEATURE],
            "a feature of this name",
            "any other name: this one stands for the model's own score",
        )
    features = {name: _feature(found, text, source, ["features", name]) for name, found in document.features.items()}
    score = None if document.score is None else _numeric(document.score, text, source, ["score"])
    output = None if document.prediction is None else _feature(document.prediction, text, source, ["prediction"])
    sample = _sample(document, features, text, source)
    return Reference(features, score, document.rows, document.model, output, document.target_mean, sample)


def no_profile(source: str) -> ConfigError:
    """The error of a file that is something else, such as the table that a profile would be made of."""
    return ConfigError(
        f"{source}: found no profile; allowed: a file that `mlcanary profile` wrote",
        hint="make one: mlcanary profile FILE --output model.profile.json, FILE being CSV, JSON lines or Parquet",
    )


def _feature(
    found: NumericDocument | CategoricalDocument, text: str, source: str, key: list[str | int]
) -> FeatureReference:
    if isinstance(found, NumericDocument):
        return _numeric(found, text, source, key)
    counts = np.array([*found.categories.values(), found.other], dtype=np.float64)
    _demand_rows(counts, text, source, key)
    return CategoricalReference(tuple(found.categories), counts, found.missing, found.tail, found.complete)


def _numeric(found: NumericDocument, text: str, source: str, key: list[str | int]) -> NumericReference:
    edges = np.array(found.edges, dtype=np.float64)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise error_at(text, source, [*key, "edges"], "edges out of order", "finite numbers, strictly ascending")
    for name, values in (("counts", found.counts), ("means", found.means)):
        if len(values) != len(edges) + 1:
            raise error_at(
                text, source, [*key, name], f"{len(values)} numbers", f"one per bin, {len(edges) + 1} for these edges"
            )
    counts = np.array(found.counts, dtype=np.float64)
    _demand_rows(counts, text, source, key)
    if (found.min is None) != (found.max is None) or (found.min or 0.0) > (found.max or 0.0):
        raise error_at(
            text, source, [*key, "min"], f"{found.min}", f"both min and max, in this order; max is {found.max}"
        )
    means = np.array(found.means, dtype=np.float64)
    return NumericReference(edges, counts, means, found.stddev, found.missing, found.min, found.max)


def _sample(
    document: ProfileDocument,
    features: Mapping[str, NumericReference | CategoricalReference],
    text: str,
    source: str,
) -> dict[str, NDArray[np.int32]] | None:
    """Columns of bin numbers, as `_column` writes them."""
    if document.sample is None:
        return None
    columns: dict[str, NDArray[np.int32]] = {}
    for name, written in document.sample.items():
        key: list[str | int] = ["sample", name]
        if name not in features:
            raise error_at(text, source, key, "a feature that the profile does not have", ", ".join(features))
        try:
            column = np.array([int(number) for number in written.split()], dtype=np.int32)
        except (ValueError, OverflowError):
            raise error_at(text, source, key, "a text", "bin numbers between spaces") from None
        last = len(features[name].counts) - 1
        if column.size and not -1 <= column.min() <= column.max() <= last:
            raise error_at(text, source, key, "a bin that does not exist", f"-1 (missing) to {last}")
        columns[name] = column
        if len(column) != len(next(iter(columns.values()))):
            raise error_at(text, source, key, f"{len(column)} rows", "as many as the first feature of the sample has")
    return columns


def _column(bins: NDArray[np.int32]) -> str:
    """One line per feature, where a JSON list would be one line per row."""
    return " ".join(map(str, bins.tolist()))


def _demand_rows(counts: Any, text: str, source: str, key: list[str | int]) -> None:
    if counts.sum() <= 0:
        raise error_at(text, source, key, "no rows at all", "a feature with at least one value")


def _document(feature: FeatureReference) -> NumericDocument | CategoricalDocument:
    if isinstance(feature, NumericReference):
        return _numeric_document(feature)
    counts = feature.counts.tolist()
    return CategoricalDocument(
        categories=dict(zip(feature.categories, counts, strict=False)),
        other=counts[-1],
        missing=feature.missing,
        tail=feature.tail,
        complete=feature.complete,
    )


def _numeric_document(feature: NumericReference) -> NumericDocument:
    return NumericDocument(
        edges=feature.edges.tolist(),
        counts=feature.counts.tolist(),
        means=feature.means.tolist(),
        stddev=feature.stddev,
        missing=feature.missing,
        min=feature.min,
        max=feature.max,
    )
