"""The classifier two-sample test."""

TEXT = """
# Live rows against the reference sample: how well a discriminator that was fitted on earlier rows tells them apart.
model_version:mlcanary_c2st:rows<W> :=
    sum by (<version>) (rate(mlcanary_c2st_rows_total[<W>])) * <S>
model_version:mlcanary_c2st:auc<W> :=
    sum by (<version>) (rate(mlcanary_c2st_placement_total[<W>]))
    / (sum by (<version>) (rate(mlcanary_c2st_rows_total[<W>])) > 0)
# Without drift the placements of n rows among m reference rows have at most this error. The m rows are shared by all
# sidecars, so their part stays however large n is.
model_version:mlcanary_c2st:null_stderr<W> :=
    sqrt(1 / (12 * model_version:mlcanary_c2st:rows<W> > 0)
      + on (<version>) 1 / (12 * max by (<version>) (mlcanary_c2st_reference_rows) > 0))
model_version:mlcanary_c2st:zscore<W> :=
    (model_version:mlcanary_c2st:auc<W> - 0.5) / model_version:mlcanary_c2st:null_stderr<W>
# What the AUC exceeds once in 1e5 windows without drift.
model_version:mlcanary_c2st:auc_critical<W> :=
    0.5 + 4.2649 * model_version:mlcanary_c2st:null_stderr<W>
model_version:mlcanary_c2st:auc_stderr<W> :=
    sqrt(
      clamp_min(
        sum by (<version>) (rate(mlcanary_c2st_placement_squares_total[<W>]))
        / (sum by (<version>) (rate(mlcanary_c2st_rows_total[<W>])) > 0)
        - model_version:mlcanary_c2st:auc<W> ^ 2,
        0)
      / (model_version:mlcanary_c2st:rows<W> > 0)
      + on (<version>) 1 / (12 * max by (<version>) (mlcanary_c2st_reference_rows) > 0))
# Canary minus live baseline: joint drift that the canary has and the baseline does not.
model_version:mlcanary_c2st:auc_delta<W> :=
    max by (<version>) (model_version:mlcanary_c2st:auc<W> <canary>)
    - on (<model>) group_left () max by (<model>) (model_version:mlcanary_c2st:auc<W> <baseline>)
model_version:mlcanary_c2st:auc_zscore<W> :=
    model_version:mlcanary_c2st:auc_delta<W>
    / sqrt(model_version:mlcanary_c2st:auc_stderr<W> ^ 2
      + on (<model>) group_left () max by (<model>) (model_version:mlcanary_c2st:auc_stderr<W> <baseline>) ^ 2)
    >= -Inf
"""
