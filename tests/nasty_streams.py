"""Twelve named streams that break statistics, in the shape that each kind of measure takes in.

All are deterministic, `LENGTH` rows long, and made for being read at every prefix of `EVERY_PREFIX`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mlcanary.measures.contract import Labeled
from mlcanary.records import canonical_class, canonical_relevance

LENGTH = 2000
EVERY_PREFIX = (*range(1, 61), 75, 100, 150, 250, 400, 700, 1200, LENGTH)
"""Sizes at which a running figure is compared with its oracle: all small ones, where definitions break."""

STREAMS = (
    "constant",
    "ties",
    "one class",
    "rare positives",
    "heavy tail",
    "nan",
    "infinities",
    "adversarial order",
    "one row",
    "huge values",
    "all missing",
    "unicode categories",
)
UNICODE = ("naïve", "日本", "a b", 'quo"te', "back\\slash", "new\nline", "🙂", "")

Floats = NDArray[np.float64]


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(20_261_125 + STREAMS.index(name))


def _size(name: str) -> int:
    return 1 if name == "one row" else LENGTH


def numbers(name: str) -> list[object]:
    """Raw values of one feature as a log may hold them: None, NaN, infinities and texts among numbers."""
    rng, n = _rng(name), _size(name)
    x: Floats = rng.normal(3.0, 2.0, n)
    match name:
        case "constant":
            x = np.full(n, 7.25)
        case "ties" | "rare positives":
            x = np.round(x)
        case "one class":
            x = np.where(rng.random(n) < 0.9, 0.0, x)
        case "heavy tail":
            x = np.sign(x) * np.exp(np.abs(rng.normal(0, 4.0, n)))
        case "nan":
            x[rng.random(n) < 0.3] = math.nan
        case "infinities":
            x[rng.random(n) < 0.1] = math.inf
            x[rng.random(n) < 0.1] = -math.inf
        case "adversarial order":
            x = np.sort(x)
        case "huge values":
            x *= 10.0 ** rng.integers(0, 14, n)
    values: list[object] = x.tolist()
    if name == "all missing":
        return [None] * n
    if name == "unicode categories":
        return [UNICODE[i % len(UNICODE)] if i % 4 == 0 else value for i, value in enumerate(values)]
    return [None if i % 11 == 5 else value for i, value in enumerate(values)] if name == "ties" else values


def categories(name: str) -> list[object]:
    """Raw values of one categorical feature."""
    rng, n = _rng(name), _size(name)
    if name == "all missing":
        return [None] * n
    if name == "constant":
        return ["DE"] * n
    if name == "unicode categories":
        return [UNICODE[i] for i in rng.integers(0, len(UNICODE), n)]
    names = rng.choice(["DE", "FR", "PL", "IT", "XX"], n, p=[0.5, 0.3, 0.1, 0.099, 0.001]).tolist()
    values: list[object] = sorted(names) if name == "adversarial order" else names
    return [None if name == "nan" and i % 3 == 0 else value for i, value in enumerate(values)]


def scored(name: str) -> list[Labeled]:
    """Labelled predictions of a binary classifier."""
    rng, n = _rng(name), _size(name)
    rate = {"one class": 0.0, "rare positives": 0.001}.get(name, 0.3)
    positive = rng.random(n) < rate
    scores: Floats = 1 / (1 + np.exp(-(rng.normal(-1.0, 1.3, n) + 1.4 * positive)))
    match name:
        case "constant":
            scores = np.full(n, 0.3)
        case "ties":
            scores = np.round(4 * scores) / 4
        case "heavy tail":
            scores = np.where(rng.random(n) < 0.95, 10.0 ** rng.uniform(-12, -3, n), scores)
        case "huge values":  # certain, and often wrong
            scores = np.where(rng.random(n) < 0.8, positive, ~positive).astype(np.float64)
        case "adversarial order":
            order = np.argsort(scores)
            scores, positive = scores[order], positive[order]
    names = ("🙂", "naïve") if name == "unicode categories" else ("1", "0")
    rows = []
    for i, (s, y) in enumerate(zip(scores.tolist(), positive.tolist(), strict=True)):
        absent = name == "all missing" or (name in {"nan", "infinities"} and i % 5 == 2)
        predicted = names[0] if s >= 0.5 else names[1]
        rows.append(Labeled(names[0] if y else names[1], predicted, None if absent else s, y, float(i % 50)))
    return rows


def classed(name: str) -> list[Labeled]:
    """Labelled predictions of a classifier of four classes, with their probabilities."""
    rng, n = _rng(name), _size(name)
    classes = UNICODE[:4] if name == "unicode categories" else ("ant", "bee", "cat", "dog")
    shares = {"one class": (1.0, 0.0, 0.0, 0.0), "rare positives": (0.999, 0.001, 0.0, 0.0)}
    actual = rng.choice(4, n, p=shares.get(name, (0.4, 0.3, 0.2, 0.1)))
    logits = rng.normal(0, 1.0, (n, 4)) + 1.5 * np.eye(4)[actual]
    if name == "constant":
        logits = np.zeros((n, 4))
    if name in {"heavy tail", "huge values"}:
        logits *= 12
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    if name == "ties":
        p = np.round(p * 4) / 4
    order = np.argsort(actual, kind="stable") if name == "adversarial order" else np.arange(n)
    rows = []
    for i in order.tolist():
        absent = name in {"all missing", "nan"} and i % 2 == 0
        scores = None if absent else dict(zip(classes, p[i].tolist(), strict=True))
        predicted = None if name == "all missing" and i % 3 == 0 else classes[int(p[i].argmax())]
        rows.append(Labeled(classes[actual[i]], predicted, None, None, 0.0, scores))
    return rows


def measured(name: str) -> list[Labeled]:
    """Labelled predictions of a regression model; numbers in canonical spelling, some broken."""
    rng, n = _rng(name), _size(name)
    y: Floats = rng.normal(50.0, 10.0, n)
    error: Floats = rng.normal(1.0, 4.0, n)
    match name:
        case "constant":
            y, error = np.full(n, 5.0), np.zeros(n)
        case "ties" | "one class":
            y, error = np.round(y), np.round(error)
        case "rare positives":
            y = np.where(rng.random(n) < 0.001, 100.0, 0.0)
        case "heavy tail":
            y, error = np.exp(rng.normal(0, 3, n)), rng.standard_t(1.5, n)
        case "nan":
            y[rng.random(n) < 0.2] = math.nan
        case "infinities":
            error[rng.random(n) < 0.2] = math.inf
        case "huge values":
            y += 1e9
        case "adversarial order":
            y = np.sort(y)
    rows = []
    for i, (a, e) in enumerate(zip(y.tolist(), error.tolist(), strict=True)):
        predicted = None if name == "all missing" else canonical_class(a + e) if math.isfinite(e) else "inf"
        text = UNICODE[i % len(UNICODE)] if name == "unicode categories" and i % 3 == 0 else None
        actual = text or (canonical_class(a) if math.isfinite(a) else "nan")
        rows.append(Labeled(actual or "", predicted, None, None, 0.0))
    return rows


def ranked(name: str) -> list[Labeled]:
    """Labelled rankings of up to fifteen of twenty items, some of them twice, of which up to nine are relevant.

    One class: nothing is ever relevant. Ties: equal grades. Infinities and nan: broken labels and absent rankings.
    """
    rng, n = _rng(name), _size(name)
    pool = [f"{UNICODE[i % 8]}{i // 8 or ''}" if name == "unicode categories" else f"item-{i}" for i in range(20)]
    rows = []
    for i in range(n):
        shown = [pool[j] for j in rng.permutation(20)[: rng.integers(0, 16)]]
        if len(shown) > 2 and i % 4 == 0:
            shown[-1] = shown[0]
        grades = np.round(rng.uniform(0.5, 4.5, rng.integers(0, 10)))
        match name:
            case "constant":
                shown, grades = pool[:12], np.ones(1)
            case "ties":
                grades = np.ones_like(grades)
            case "one class":
                grades = np.zeros_like(grades)
            case "rare positives":
                grades = np.ones(int(rng.random() < 0.01))
            case "heavy tail":
                grades = np.exp(rng.normal(0, 6, grades.size))
            case "huge values":
                grades *= 1e9 if i % 3 else 1e300
            case "adversarial order":
                shown, grades = [*pool[1 : 20 - i * 20 // n], pool[0]][:15], np.ones(1)
        right = pool if name in {"constant", "adversarial order"} else rng.permutation(pool).tolist()
        label: object = canonical_relevance(dict(zip(right, grades.tolist(), strict=False)))
        if name == "infinities" and i % 3 == 0:
            label = ('{"item-1":Infinity}', '{"item-1":1e999}', "inf", '{"item-1":-1}', "", "[1]")[i // 3 % 6]
        absent = name == "all missing" or (name == "nan" and i % 3 == 0)
        rows.append(Labeled(str(label), None, None, None, 0.0, items=None if absent else tuple(shown)))
    return rows


def users(name: str) -> list[int | None]:
    """A salted hash per request, None where the log names no user."""
    rng, n = _rng(name), _size(name)
    if name == "all missing":
        return [None] * n
    pool = 1 if name in {"constant", "one class"} else 3 if name == "ties" else LENGTH
    hashes = rng.integers(0, 2**64 - 1, pool, dtype=np.uint64, endpoint=True)
    heavy = rng.zipf(1.3, n) % pool if name == "heavy tail" else rng.integers(0, pool, n)
    found: list[int | None] = [int(hashes[i]) for i in (np.sort(heavy) if name == "adversarial order" else heavy)]
    return [None if name == "nan" and i % 3 == 0 else user for i, user in enumerate(found)]
