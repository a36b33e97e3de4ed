"""Recorded figures of classifiers against scikit-learn and scipy on the raw events of seven restarting sidecars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from mlcanary.catalog import INDICATORS, Role, Task
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import Limits, ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.records import ModelKey, Prediction
from promtool_cases import Values, case, check, expression
from replicated_release import END, START, STEP, WARM_UP, WINDOWS, Expected, hold, scraped, while_up, windows_of

Floats = NDArray[np.float64]

BINARY, MULTI, MANY = "churn", "animals", "species"
CLASSES, SPECIES = ("ant", "bee", "cat"), tuple("abcdefg")
ROLES = {"v1": Role.BASELINE, "v2": Role.CANARY}
JOIN = JoinPolicy(0.0, 86_400.0)
PLAN = MonitorPlan(
    models={
        BINARY: ModelPlan(roles=ROLES, join=JOIN),
        MULTI: ModelPlan(task=Task.MULTICLASS, roles=ROLES, join=JOIN),
        MANY: ModelPlan(task=Task.MULTICLASS, roles=ROLES, join=JOIN, limits=Limits(classes=4)),
    },
    windows=(),
)
S, P = "model_version:mlcanary_labeled_score:", "model_version:mlcanary_labeled_predictions:"
C, K = "model_version_class:mlcanary_labeled_predictions:", "model_version:mlcanary_class_score:"
ABSENT = ("why AUC is absent", "why precision and recall are absent")
BRIER, LOG_LOSS = "model_version:mlcanary_brier_score:", "model_version:mlcanary_log_loss:"


def logits(bins: int) -> list[float]:
    """Bin edges of a model without a reference, six digits as they are exported."""
    return [float(f"{1 / (1 + np.exp(-x)):.6g}") for x in np.linspace(-8, 8, bins + 1)[1:-1]]


def times(rng: np.random.Generator, n: int) -> list[float]:
    """Event times from before the first scrape to the last."""
    return np.sort(rng.uniform(START - WARM_UP, START + END, n)).tolist()  # type: ignore[no-any-return]


def binary(version: str, n: int, seed: int, gain: float) -> list[Prediction]:
    """Labelled predictions of a model of two classes, one in ten without a score."""
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    score = 1 / (1 + np.exp(-(rng.normal(-1, 1.3, n) + gain * positive)))
    rows = zip(times(rng, n), score.tolist(), positive.tolist(), strict=True)
    key = ModelKey(BINARY, version)
    return [
        Prediction(
            key, ts, f"{version}b{i}", {}, str(int(s > 0.45)), None if i % 10 == 3 else s, 0.01, None, str(int(y))
        )
        for i, (ts, s, y) in enumerate(rows)
    ]


def multiclass(version: str, n: int, seed: int, gain: float) -> list[Prediction]:
    """Labelled predictions of a model of three classes, whose scores are not normalised."""
    rng = np.random.default_rng(seed)
    actual = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    raw = np.exp(rng.normal(0, 1, (n, 3)) + gain * np.eye(3)[actual])
    scores = raw / raw.max(axis=1, keepdims=True)
    key = ModelKey(MULTI, version)
    return [
        Prediction(
            key,
            ts,
            f"{version}m{i}",
            predicted=CLASSES[int(scores[i].argmax())],
            latency=0.01,
            label=CLASSES[actual[i]],
            scores=dict(zip(CLASSES, scores[i].tolist(), strict=True)),
        )
        for i, ts in enumerate(times(rng, n))
    ]


def many(n: int, seed: int) -> list[Prediction]:
    """Labelled predictions of more classes than the cap allows, without scores."""
    rng = np.random.default_rng(seed)
    actual = rng.choice(SPECIES, n)
    predicted = np.where(rng.random(n) < 0.6, actual, rng.choice(SPECIES, n))
    rows = zip(times(rng, n), actual.tolist(), predicted.tolist(), strict=True)
    key = ModelKey(MANY, "v2")
    return [Prediction(key, ts, f"s{i}", predicted=p, label=y) for i, (ts, y, p) in enumerate(rows)]


def lean(series: dict[str, Values]) -> dict[str, Values]:
    """Without counters that stay 0, which add nothing to a sum; one sidecar keeps its own, so that no bin misses."""
    return {name: values for name, values in series.items() if any(values) or 'instance="sidecar-0:' in name}


def test_recorded_figures_of_classifiers_equal_the_raw_events(tmp_path: Path) -> None:
    made = {
        BINARY: (binary("v1", 1800, 1, 1.8), binary("v2", 900, 2, 1.2)),
        MULTI: (multiclass("v1", 1800, 3, 1.6), multiclass("v2", 900, 4, 1.1)),
        MANY: (many(600, 5),),
    }
    releases = {model: [while_up(part) for part in parts] for model, parts in made.items()}
    series = lean(scraped(PLAN, [record for parts in releases.values() for part in parts for record in part]))
    expected: list[Expected] = []
    for window in WINDOWS:
        within = {
            model: [[r for r in windows_of(part)[window] if isinstance(r, Prediction)] for part in parts]
            for model, parts in releases.items()
        }
        for model, figures in ((BINARY, of_score), (MULTI, of_probabilities)):
            baseline, canary = ({**of_classes(rows), **figures(rows), **of_losses(rows)} for rows in within[model])
            for version, found in (("v1", baseline), ("v2", canary)):
                expected += told(found, model, version, window)
            expected += told(of_difference(canary, baseline), model, "v2", window)
            expected += told(of_loss_change(*within[model]), model, "v2", window)
        expected += told(of_folded(within[MANY][0]), MANY, "v2", window)
    hold(tmp_path, series, expected)
    assert len(expected) > 250


def labelled(model: str, rows: Sequence[tuple[str, str, float | None, dict[str, float] | None]]) -> list[Prediction]:
    """Predicted and actual class, score, probabilities, again and again for an hour."""
    made = []
    for i in range(700):
        predicted, actual, score, scores = rows[i % len(rows)]
        key = ModelKey(model, "v1")
        made.append(Prediction(key, START + 5.0 * i, f"{model}{i}", {}, predicted, score, 0.01, None, actual, scores))
    return made


def test_a_figure_that_is_absent_while_labels_come_says_why(tmp_path: Path) -> None:
    given = {
        "no positive": labelled("no positive", [("1", "0", 0.9, None), ("0", "0", 0.1, None)]),
        "no alarm": labelled("no alarm", [("0", "0", None, None), ("0", "1", None, None)]),
        "cats": labelled("cats", [("cat", "cat", 0.9, None), ("dog", "dog", 0.1, None)]),
        "bare": labelled("bare", [("ant", "ant", None, None), ("bee", "bee", None, None)]),
        "ants": labelled("ants", [("ant", "ant", None, {"ant": 0.7, "bee": 0.3})]),
    }
    plan = MonitorPlan(
        models={name: ModelPlan(task=Task.MULTICLASS, join=JOIN) for name in ("bare", "ants")}, windows=()
    )
    series = lean(scraped(plan, while_up(record for rows in given.values() for record in rows)))
    told = [
        ("no positive", "", "auc", "one_class"),
        ("no positive", "1", "recall", "no_positive_label"),
        ("no alarm", "", "auc", "no_scores"),
        ("no alarm", "1", "precision", "no_positive_prediction"),
        ("cats", "", "auc", "unknown_positive_class"),
        ("bare", "", "auc_macro", "no_scores"),
        ("ants", "", "auc_macro", "one_class"),
    ]
    names = [name for row in INDICATORS if row.name in ABSENT for name in row.recorded]
    tests = []
    for window in WINDOWS:
        wanted = " or ".join(name.replace("<W>", window) for name in names)
        samples = [
            ({"model": model, "figure": figure, "reason": reason} | ({"class": label} if label else {}), 1.0)
            for model, label, figure, reason in told
        ]
        tests.append(expression(f"max by (model, class, figure, reason) ({wanted})", "1h", *samples))
    check(tmp_path, "20m", [case(f"{STEP}s", series, tests)])


Figures = dict[tuple[str, str], float]
"""Values by recorded name without the window, and class or ""."""


def told(found: Figures, model: str, version: str, window: str) -> list[Expected]:
    """Figures as recorded series."""
    of = {"model": model, "version": version}
    return [
        Expected(name + window, value, {**of, "class": label} if label else of)
        for (name, label), value in found.items()
    ]


def of_classes(rows: Sequence[Prediction]) -> Figures:
    """What scikit-learn reads off the classes."""
    actual, predicted = [r.label or "" for r in rows], [r.predicted or "" for r in rows]
    names = sorted({*actual, *predicted})
    found: Figures = {
        (f"{P}accuracy", ""): f1_score(actual, predicted, average="micro"),
        (f"{P}f1_macro", ""): f1_score(actual, predicted, average="macro"),
        (f"{P}f1_weighted", ""): f1_score(actual, predicted, average="weighted"),
        (f"{P}balanced_accuracy", ""): balanced_accuracy_score(actual, predicted),
        (f"{P}matthews", ""): matthews_corrcoef(actual, predicted),
    }
    precision, recall, f1, support = precision_recall_fscore_support(actual, predicted, labels=names)
    for i, name in enumerate(names):
        found |= {
            (f"{C}precision", name): precision[i],
            (f"{C}recall", name): recall[i],
            (f"{C}f1_", name): f1[i],
            (f"{C}lift", name): precision[i] / (support[i] / len(rows)),
        }
    return found


def of_score(rows: Sequence[Prediction]) -> Figures:
    """Over the numbers of the bins as scores; brackets bin by bin, from the highest."""
    scored = [r for r in rows if r.score is not None]
    score, positive = np.array([r.score for r in scored], dtype=float), np.array([r.label == "1" for r in scored])
    index = np.searchsorted(logits(100), score)
    ups, downs = np.bincount(index[positive], minlength=100), np.bincount(index[~positive], minlength=100)
    lower, upper = average_precision_ends(ups.tolist(), downs.tolist())
    rise, fall = (np.concatenate([[0.0], np.cumsum(counts) / counts.sum()]) for counts in (ups, downs))
    gaps = [max(rise[i + 1] - fall[i], fall[i + 1] - rise[i]) for i in range(100)]
    errors = [abs(score[index == i].sum() - positive[index == i].sum()) for i in range(100)]
    return {
        (f"{S}auc", ""): float(roc_auc_score(positive, index)),
        (f"{S}auc_error_bound", ""): float(ups @ downs) / (2 * ups.sum() * downs.sum()),
        (f"{S}average_precision", ""): float(average_precision_score(positive, index)),
        (f"{S}average_precision_lower", ""): lower,
        (f"{S}average_precision_upper", ""): upper,
        (f"{S}ks", ""): float(stats.ks_2samp(index[positive], index[~positive]).statistic),
        (f"{S}ks_upper_bound", ""): min(1.0, max(gaps)),
        (f"{S}ece", ""): float(sum(errors)) / score.size,
    }


def average_precision_ends(ups: Sequence[int], downs: Sequence[int]) -> tuple[float, float]:
    """The least and most that average precision can be, bin by bin from the highest."""
    hits = misses = 0
    lower = upper = 0.0
    for p, q in zip(reversed(ups), reversed(downs), strict=True):
        if p:
            c = hits + misses + q
            lower += max(0.0, p - (misses + q) * np.log((c + p + 0.5) / (c + 0.5)))
            upper += p * (hits + p) / (hits + misses + p)
        hits, misses = hits + p, misses + q
    return lower / sum(ups), upper / sum(ups)


def of_probabilities(rows: Sequence[Prediction]) -> Figures:
    """Each class against the rest over the numbers of the bins."""
    p = probabilities(rows)
    index = np.searchsorted(logits(50), p)
    found: Figures = {}
    areas, bounds, weights = [], [], []
    for k, name in enumerate(CLASSES):
        truth = np.array([r.label == name for r in rows])
        ups, downs = (np.bincount(index[chosen, k], minlength=50) for chosen in (truth, ~truth))
        areas.append(float(roc_auc_score(truth, index[:, k])))
        bounds.append(float(ups @ downs) / (2 * ups.sum() * downs.sum()))
        weights.append(int(truth.sum()))
        assert abs(areas[-1] - roc_auc_score(truth, p[:, k])) <= bounds[-1]
        found["model_version_class:mlcanary_class_score:auc", name] = areas[-1]
        found["model_version_class:mlcanary_class_score:auc_error_bound", name] = bounds[-1]
    for kind, given in (("macro", None), ("weighted", weights)):
        found[f"{K}auc_{kind}", ""] = float(np.average(areas, weights=given))
        found[f"{K}auc_{kind}_error_bound", ""] = float(np.average(bounds, weights=given))
    return found


def probabilities(rows: Sequence[Prediction]) -> Floats:
    """Scores divided by their sum."""
    raw = np.array([[(r.scores or {})[name] for name in CLASSES] for r in rows])
    normal: Floats = raw / raw.sum(axis=1, keepdims=True)
    return normal


def losses(rows: Sequence[Prediction]) -> dict[str, Floats]:
    """Log loss and Brier score of every prediction that has a score."""
    if rows[0].scores is not None:
        p, truth = probabilities(rows), np.array([[r.label == name for name in CLASSES] for r in rows])
        assert np.isclose(
            ((p - truth) ** 2).sum(axis=1).mean(),
            brier_score_loss([r.label for r in rows], p, labels=list(CLASSES), scale_by_half=False),
            rtol=1e-12,
        )
        return {LOG_LOSS: -np.log(np.clip(p[truth], 1e-7, 1 - 1e-7)), BRIER: ((p - truth) ** 2).sum(axis=1)}
    scored = [r for r in rows if r.score is not None]
    s, y = np.array([r.score for r in scored], dtype=float), np.array([r.label == "1" for r in scored])
    assert np.isclose(((s - y) ** 2).mean(), brier_score_loss(y, s), rtol=1e-12)
    return {LOG_LOSS: -np.log(np.clip(np.where(y, s, 1 - s), 1e-7, 1 - 1e-7)), BRIER: (s - y) ** 2}


def of_losses(rows: Sequence[Prediction]) -> Figures:
    """Mean losses, and their standard errors."""
    found: Figures = {}
    for name, loss in losses(rows).items():
        found |= {(f"{name}mean", ""): float(loss.mean()), (f"{name}mean_stderr", ""): float(stats.sem(loss))}
    return found


def of_loss_change(baseline: Sequence[Prediction], canary: Sequence[Prediction]) -> Figures:
    """Mean losses of the canary against the baseline, by Welch's test."""
    theirs = losses(baseline)
    found: Figures = {}
    for name, loss in losses(canary).items():
        found[f"{name}mean_delta", ""] = float(loss.mean() - theirs[name].mean())
        found[f"{name}mean_zscore", ""] = float(stats.ttest_ind(loss, theirs[name], equal_var=False).statistic)
    return found


def of_difference(canary: Figures, baseline: Figures) -> Figures:
    """Canary minus baseline."""
    compared = {f"{S}auc", f"{S}average_precision", f"{K}auc_macro", f"{C}precision", f"{C}recall", f"{C}f1_"}
    compared |= {f"{P}{name}" for name in ("accuracy", "f1_macro", "f1_weighted", "balanced_accuracy", "matthews")}
    found: Figures = {
        (f"{name.removesuffix('_')}_delta", label): value - baseline[name, label]
        for (name, label), value in canary.items()
        if name in compared
    }
    for area in (f"{S}auc", f"{K}auc_macro"):
        if (area, "") in canary:
            apart = canary[f"{area}_error_bound", ""] + baseline[f"{area}_error_bound", ""]
            found[f"{area}_delta_upper", ""] = found[f"{area}_delta", ""] + apart
    return found


def of_folded(rows: Sequence[Prediction]) -> Figures:
    """Sidecars fold different classes, each those that it met last, and accuracy is still exact."""
    right = accuracy_score([r.label for r in rows], [r.predicted for r in rows])
    return {(f"{P}accuracy", ""): float(right), (f"{P}count", ""): float(len(rows))}
