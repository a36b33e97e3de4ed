"""Quality estimated without labels, by confidence."""

from __future__ import annotations

from mlcanary.catalog.spec import (
    MODEL_VERSION,
    MODEL_VERSION_WINDOW,
    Group,
    Indicator,
    Kind,
    MetricSpec,
    counter,
    row,
    window,
)

_IF = "right if the scores are calibrated and the concept has not changed"
_WITHIN = "Half-width of the 95 % interval in which the realised figure lies, if the scores are calibrated"

_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("accuracy", "ratio", "accuracy"),
    ("precision", "ratio", "precision of the positive class"),
    ("recall", "ratio", "recall of the positive class"),
    ("f1", "ratio", "F1 of the positive class"),
    ("auc", "ratio", "area under the ROC curve over the score bins"),
    ("log_loss", "nats", "mean log loss"),
)

_SPELT = {"f1": "F1", "auc": "AUC"}

ROWS: tuple[MetricSpec, ...] = (
    counter(
        "expected_labeled_predictions_total",
        (*MODEL_VERSION, "actual", "predicted"),
        f"Confusion matrix that the scores of all answered predictions promise: sums of p and 1 - p; {_IF}.",
    ),
    counter(
        "expected_labeled_predictions_variance_total",
        (*MODEL_VERSION, "predicted"),
        "Sum of p (1 - p): variance of the positives among the predictions of a class.",
    ),
    row("expected_log_loss", Kind.SUMMARY, Group.CONTRACT, MODEL_VERSION, f"Log loss to expect, nats; {_IF}."),
    counter("expected_log_loss_variance_total", MODEL_VERSION, "Variance of the sum of log losses to expect."),
    counter(
        "score_bin_total",
        (*MODEL_VERSION, "bin"),
        "Answered predictions, labelled or not, with the score in the bin; bin is its upper edge.",
    ),
    counter("score_bin_score_total", (*MODEL_VERSION, "bin"), "Sum of their scores: positives to expect in the bin."),
    counter(
        "score_below_total",
        (*MODEL_VERSION, "bin"),
        "Answered predictions with the score at or under the lower edge of the bin.",
    ),
    counter("score_below_score_total", (*MODEL_VERSION, "bin"), "Sum of their scores."),
    counter(
        "estimate_check_predictions_total",
        MODEL_VERSION,
        "Labelled predictions on which the estimate of accuracy is checked.",
    ),
    counter(
        "estimate_check_correct_total",
        (*MODEL_VERSION, "by"),
        "Right ones of them: estimated from the scores, or actual by the labels.",
    ),
    counter("estimate_check_variance_total", MODEL_VERSION, "Variance of the difference of the two."),
    *(
        spec
        for name, unit, text in _FIGURES
        for spec in (
            window(f"estimated_{name}_{unit}", MODEL_VERSION_WINDOW, f"Without labels: {text}, {_IF}."),
            window(f"estimated_{name}_error_{unit}", MODEL_VERSION_WINDOW, f"{_WITHIN}: {text}."),
        )
    ),
    window(
        "estimated_minus_actual_ratio",
        MODEL_VERSION_WINDOW,
        "Accuracy by the scores minus accuracy by the labels of the same predictions: far from 0, the assumption "
        "behind the estimated figures does not hold.",
    ),
)

_E = "model_version:mlcanary_estimated:"
_NAME = {"f1": "f1_"}
_CBPE = "confidence-based performance estimation (Kivimäki et al. 2024, arXiv 2407.08649)"
_BOUND = "expectation exact; window_estimated_{}: 95 % for the realised figure"

INDICATORS: tuple[Indicator, ...] = (
    *(
        Indicator(
            f"estimated {_SPELT.get(name, name.replace('_', ' '))}",
            f"window_estimated_{name}_{unit}",
            (f"{_E}{_NAME.get(name, name)}<W>", f"{_E}{name}_error<W>"),
            _BOUND.format(f"{name}_error_{unit}"),
            _CBPE,
        )
        for name, unit, _ in _FIGURES
    ),
    Indicator(
        "estimated minus actual accuracy",
        "window_estimated_minus_actual_ratio",
        (f"{_E}minus_actual<W>", f"{_E}minus_actual_stderr<W>", f"{_E}minus_actual_zscore<W>"),
        "exact",
        "mean of p or 1 - p by predicted class, minus sklearn.metrics.accuracy_score, over the same predictions",
    ),
)
