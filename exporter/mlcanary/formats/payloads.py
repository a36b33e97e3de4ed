"""Payloads: what the bodies of requests and responses say, as rows of features and as answers.

    Open Inference Protocol   {"inputs": [{"name", "shape", "datatype", "data"}]}      {"outputs": [...]}
    TF-v1, KServe v1          {"instances": [...]} or {"inputs": {name: column}}       {"predictions": [...]}
    MLflow                    {"dataframe_split": ...}, {"dataframe_records": [...]}   {"predictions": [...]}
    Seldon 1                  {"data": {"names", "ndarray" | "tensor"}}, {"jsonData"}  the same
    plain                     a list of rows, or one object                           the same

Guarantee: rows come out in the order of the batch, or `Rejected("payload")` is raised; no shape makes more values than
the body holds. A column is found by its name; unnamed ones are called `feature_names`, then f0, f1, ... Two
probabilities are those of the negative and the positive class, in this order. Cost: linear in the values of the body.
Source: Open Inference Protocol 2; TensorFlow Serving REST API; MLflow scoring server; Seldon Core prediction API.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlcanary.formats.rows import Rejected

Values = dict[str, Any]

_SCALARS = (str, int, float, bool, type(None))
_NUMBERS = (int, float)
_SCORES = frozenset({"score", "scores", "prob", "probs", "proba", "probas", "predict_proba"}) | {
    "probability",
    "probabilities",
    "output_probability",
}
_CLASSES = frozenset({"predict", "prediction", "predicted", "predicted_class", "predicted_label"}) | {
    *("class", "classes", "class_id", "class_ids", "label", "output_label"),
}
_INTEGRAL = ("INT", "UINT", "BOOL", "BYTES")
_POSITION = re.compile(r"\d$")
"""Names of classes such as t:0, t:1 that only count them."""


@dataclass(frozen=True)
class PayloadPlan:
    """How payloads are read. `score`, `prediction`: names of the outputs that hold them, None to go by usual names.

    `output`: what an output is whose name says nothing; "auto": a number that is no integer is the score, everything
    else the class. `feature_names`, `class_names`: of columns without a name, in their order.
    """

    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    score: str | None = None
    prediction: str | None = None
    output: Literal["auto", "score", "prediction"] = "auto"


@dataclass(frozen=True)
class Column:
    """One column of a batch: per row a scalar, or a list where it is a matrix. `integral`: None if not known."""

    name: str | None
    values: Sequence[Any]
    integral: bool | None = None


@dataclass
class Answer:
    """What a model said of one row."""

    prediction: str | float | bool | None = None
    score: float | None = None
    scores: dict[str, float] | None = None
    items: list[str | int] | None = None


def features_of(document: object, plan: PayloadPlan) -> list[Values]:
    """The rows of a request's body. Raises Rejected."""
    columns = _columns(document, "inputs")
    count = _count(columns)
    rows: list[Values] = [{} for _ in range(count)]
    for column in columns:
        _lay(rows, column, plan.feature_names, alone=len(columns) == 1)
    return rows


def answers_of(document: object, plan: PayloadPlan, *, task: str = "binary") -> list[Answer]:
    """The answers of a response's body; `task`: one of `catalog.Task`. Raises Rejected."""
    columns = _outputs(_columns(document, "outputs"))
    answers = [Answer() for _ in range(_count(columns))]
    named = [(column, role) for column in columns if (role := _role(column.name, plan)) is not None]
    if not named and plan.score is None and plan.prediction is None and columns:
        named = [(_telling(columns), "auto")]
    for column, role in named:
        _answer(answers, column, role, plan, task)
    return answers


def _telling(columns: Sequence[Column]) -> Column:
    """The output of several whose names say nothing: shares of classes, a column each or a matrix, before the first."""
    if len(columns) > 1:
        rows = list(zip(*(column.values for column in columns), strict=True))
        if all(_is_distribution(row) for row in rows):
            names = [column.name or "" for column in columns]
            if all(_POSITION.search(name) for name in names):
                return Column(None, [list(row) for row in rows])
            return Column(None, [dict(zip(names, row, strict=True)) for row in rows])
    return next((column for column in columns if any(isinstance(v, list | dict) for v in column.values)), columns[0])


def _is_distribution(row: Sequence[Any]) -> bool:
    return all(isinstance(p, _NUMBERS) and not isinstance(p, bool) and 0 <= p <= 1 for p in row) and math.isclose(
        math.fsum(row), 1.0, abs_tol=1e-3
    )


def truths_of(document: object, class_names: tuple[str, ...] = ()) -> list[str | float | bool]:
    """The labels of a batch, from a body such as that of Seldon's feedback. Raises Rejected."""
    answers = answers_of(document, PayloadPlan(output="prediction", class_names=class_names))
    truths = [answer.prediction for answer in answers]
    if not truths or any(truth is None for truth in truths):
        raise Rejected("payload", "a truth that gives no class for its rows")
    return [truth for truth in truths if truth is not None]


def _columns(document: object, tensors: str) -> list[Column]:
    """The columns of any payload. `tensors`: the key of the protocol's list, inputs or outputs."""
    if isinstance(document, list):
        return _of_rows(document)
    if not isinstance(document, Mapping):
        raise Rejected("payload", f"a payload that is {type(document).__name__}, not an object or a list")
    found = document.get(tensors)
    if isinstance(found, list) and _is_tensors(found):
        return [_tensor(each) for each in found]
    for key, read in _SHAPES.items():
        if key in document and (key != "data" or isinstance(document[key], Mapping)):
            return read(document[key])
    if found is not None:
        return _of_any(found)
    if "jsonData" in document:
        return _columns(document["jsonData"], tensors)
    features = document.get("features")
    return _of_rows([features if isinstance(features, Mapping) else document])


def _is_tensors(found: Sequence[object]) -> bool:
    """Raises Rejected for tensors that travel beside the JSON."""
    for each in found:
        if not isinstance(each, dict) or "datatype" not in each:
            return False
        if "data" not in each:
            raise Rejected("payload", "a tensor without data: the binary extension is not read")
    return bool(found)


def _of_any(found: object) -> list[Column]:
    """Rows, or columns by name."""
    if isinstance(found, list):
        return _of_rows(found)
    if isinstance(found, Mapping):
        return [Column(str(name), value if isinstance(value, list) else [value]) for name, value in found.items()]
    raise Rejected("payload", f"a batch that is {type(found).__name__}, neither a list nor an object")


def _of_rows(rows: Sequence[object]) -> list[Column]:
    """Objects, lists or scalars, a row each."""
    if not rows:
        raise Rejected("payload", "a batch without rows")
    return [Column(None, rows)]


def _outputs(columns: list[Column]) -> list[Column]:
    """Rows that are objects as columns under the names of the first row."""
    if len(columns) != 1 or not columns[0].values or not isinstance(columns[0].values[0], Mapping):
        return columns
    rows = columns[0].values
    if not all(isinstance(row, Mapping) for row in rows):
        raise Rejected("payload", "rows of which some are objects and some are not")
    if len(rows[0]) * len(rows) > 4 * sum(map(len, rows)):
        raise Rejected("payload", "rows that do not have the keys of the first one")
    return [Column(str(name), [row.get(name) for row in rows]) for name in rows[0]]


def _split(found: object) -> list[Column]:
    """MLflow's and pandas' {"columns": [...], "data": [[...]]}."""
    if not isinstance(found, Mapping) or not isinstance(found.get("data"), list):
        raise Rejected("payload", "dataframe_split without data")
    names, rows = found.get("columns"), found["data"]
    if not isinstance(names, list):
        return _of_rows(rows)
    if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise Rejected("payload", f"dataframe_split with rows that do not have {len(names)} columns")
    return [Column(str(name), [row[i] for row in rows]) for i, name in enumerate(names)]


def _seldon(data: Mapping[str, Any]) -> list[Column]:
    """Seldon's default data: `names` with `ndarray`, or with `tensor` of `shape` and `values`."""
    names, rows = data.get("names"), data.get("ndarray")
    if rows is None and isinstance(data.get("tensor"), Mapping):
        tensor = data["tensor"]
        rows = _rows_of(tensor.get("values"), tensor.get("shape"), "the tensor")
    if not isinstance(rows, list) or not rows:
        raise Rejected("payload", "data without rows")
    matrix = [row if isinstance(row, list) else [row] for row in rows]
    if isinstance(names, list) and names and all(len(row) == len(names) for row in matrix):
        return [Column(str(name), [row[i] for row in matrix]) for i, name in enumerate(names)]
    return [Column(None, rows)]


def _tensor(found: Mapping[str, Any]) -> Column:
    """One tensor of the Open Inference Protocol; `data` nested or flat."""
    name, datatype = found.get("name"), str(found.get("datatype") or "")
    values = _rows_of(found["data"], found.get("shape"), f"tensor {name!r:.80}")
    integral = datatype.startswith(_INTEGRAL) if datatype else None
    return Column(None if name is None else str(name), values, integral)


def _rows_of(data: object, shape: object, what: str) -> list[Any]:
    """The rows of a tensor: scalars where a row has one value, else flat lists. Raises Rejected."""
    if not isinstance(data, list):
        raise Rejected("payload", f"{what} whose data is no list")
    if data and shape in ([len(data)], [len(data), 1]) and list not in map(type, data):
        return data  # the usual case
    flat = _flat(data)
    if not isinstance(shape, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in shape):
        shape = [len(data)]
    if shape.count(-1) == 1:
        rest = -math.prod(shape)
        shape = [n if n != -1 else len(flat) // max(1, rest) for n in shape]
    count = shape[0] if shape else 1
    if not flat or count < 1 or math.prod(shape) != len(flat):
        raise Rejected("payload", f"{what} of shape {shape!r:.80} with {len(flat)} values")
    width = len(flat) // count
    return flat if width == 1 else [flat[start : start + width] for start in range(0, len(flat), width)]


def _flat(data: list[Any]) -> list[Any]:
    """Depth first. The decoder has bounded the depth."""
    if list not in map(type, data):
        return data
    out: list[Any] = []
    for value in data:
        if isinstance(value, list):
            out.extend(_flat(value))
        else:
            out.append(value)
    return out


def _count(columns: Sequence[Column]) -> int:
    """Rows of a batch. Raises Rejected where columns do not agree."""
    counts = {len(column.values) for column in columns}
    if len(counts) > 1:
        raise Rejected("payload", f"a batch whose columns have {min(counts)} to {max(counts)} rows")
    return counts.pop() if counts else 0


def _lay(rows: list[Values], column: Column, names: tuple[str, ...], *, alone: bool) -> None:
    """Put a column into its rows, a matrix as several features. `alone`: it is the whole table."""
    single = column.name if column.name is not None else _name(0, names)
    for row, value in zip(rows, column.values, strict=True):
        if isinstance(value, _SCALARS):
            row[single] = value
        elif column.name is None and isinstance(value, Mapping):
            for name, cell in value.items():
                _lay_cell(row, str(name), cell)
        elif isinstance(value, list) and (alone or column.name is None):
            for i, part in enumerate(_flat(value)):
                _lay_cell(row, _name(i, names), part)
        else:
            _lay_cell(row, single, value)


def _lay_cell(row: Values, name: str, cell: object) -> None:
    """A scalar, or the parts of a list; what is an object is no feature."""
    if isinstance(cell, _SCALARS):
        row[name] = cell
    elif isinstance(cell, list):
        parts = _flat(cell)
        for i, part in enumerate(parts):
            if isinstance(part, _SCALARS):
                row[name if len(parts) == 1 else f"{name}_{i}"] = part


def _name(i: int, names: tuple[str, ...]) -> str:
    return names[i] if i < len(names) else f"f{i}"


def _role(name: str | None, plan: PayloadPlan) -> str | None:
    """What an output is by its name; None if the name says nothing."""
    if name is None:
        return None
    if plan.score is not None or plan.prediction is not None:
        return "score" if name == plan.score else "prediction" if name == plan.prediction else None
    lower = name.lower()
    return "score" if lower in _SCORES else "prediction" if lower in _CLASSES else None


def _answer(answers: list[Answer], column: Column, role: str, plan: PayloadPlan, task: str) -> None:
    """Put an output into the answers."""
    if role == "auto":
        role = plan.output if plan.output != "auto" else _guess(column, task)
    for answer, value in zip(answers, column.values, strict=True):
        cell = value[0] if isinstance(value, list) and len(value) == 1 and task != "ranking" else value
        if isinstance(cell, Mapping):
            answer.scores = {str(k): float(v) for k, v in cell.items() if isinstance(v, _NUMBERS)} or answer.scores
        elif isinstance(cell, list) and task == "ranking":
            answer.items = [item if isinstance(item, str | int) else str(item) for item in _flat(cell)]
        elif isinstance(cell, list):
            _distribution(answer, cell, role, plan, task)
        elif role == "score":
            answer.score = _number(cell)
        elif isinstance(cell, str | int | float | bool):
            answer.prediction = cell


def _guess(column: Column, task: str) -> str:
    """What an unnamed output of scalars is: whole numbers and texts are classes, other numbers shares of a class."""
    if task != "binary":
        return "prediction"
    values = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in column.values]
    numbers = all(isinstance(v, _NUMBERS) and not isinstance(v, bool) for v in values)
    integral = column.integral if column.integral is not None else not any(isinstance(v, float) for v in values)
    return "score" if numbers and not integral and all(0 <= v <= 1 for v in values) else "prediction"


def _distribution(answer: Answer, cell: list[Any], role: str, plan: PayloadPlan, task: str) -> None:
    """Several numbers of one row: two are P(negative) and P(positive), more are one per class."""
    flat = _flat(cell)
    numbers = [float(v) for v in flat if isinstance(v, _NUMBERS) and not isinstance(v, bool)]
    if len(numbers) != len(flat):
        raise Rejected("payload", "an output with several values per row that are not all numbers")
    names = plan.class_names
    if role == "prediction" and task == "binary" and not names and set(numbers) <= {0.0, 1.0} and sum(numbers) == 1:
        answer.prediction = numbers.index(1.0)  # one-hot
    elif len(numbers) == 2 and task == "binary":
        answer.score = numbers[1]
    else:
        answer.scores = {names[i] if i < len(names) else str(i): p for i, p in enumerate(numbers)}


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise Rejected("payload", f"a score that is {type(value).__name__}, not a number")
    return float(value)


_SHAPES: Mapping[str, Callable[[Any], list[Column]]] = {
    "instances": _of_any,
    "predictions": _of_any,
    "dataframe_records": _of_any,
    "dataframe_split": _split,
    "data": _seldon,
}
