"""Quality of rankings and recommendations."""

TEXT = """
# Means over requests of what each ranking is worth: ndcg, recall, hit and precision at k, and the reciprocal rank.
model_version_k:mlcanary_ranking_requests:rate<W> :=
    sum by (<version>, k) (rate(mlcanary_ranking_requests_total[<W>]))
model_version_figure_k:mlcanary_ranking_figure:mean<W> :=
    sum by (<version>, figure, k) (rate(mlcanary_ranking_figure_total[<W>]))
    / on (<version>, k) group_left () (model_version_k:mlcanary_ranking_requests:rate<W> > 0)
model_version_figure_k:mlcanary_ranking_figure:mean_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>, figure, k) (rate(mlcanary_ranking_figure_squares_total[<W>]))
        / on (<version>, k) group_left () (model_version_k:mlcanary_ranking_requests:rate<W> > 0)
        - model_version_figure_k:mlcanary_ranking_figure:mean<W> ^ 2)
      / on (<version>, k) group_left () (model_version_k:mlcanary_ranking_requests:rate<W> * <S> - 1 > 0), 0))
# Labelled rankings that could not be used, per second.
model_version_reason:mlcanary_ranking_unusable:rate<W> :=
    sum by (<version>, reason) (rate(mlcanary_ranking_unusable_total[<W>]))
# Canary minus live baseline, and the difference in standard errors.
model_version_figure_k:mlcanary_ranking_figure:mean_delta<W> :=
    max by (<version>, figure, k) (model_version_figure_k:mlcanary_ranking_figure:mean<W> <canary>)
    - on (<model>, figure, k) group_left ()
      max by (<model>, figure, k) (model_version_figure_k:mlcanary_ranking_figure:mean<W> <baseline>)
model_version_figure_k:mlcanary_ranking_figure:mean_zscore<W> :=
    model_version_figure_k:mlcanary_ranking_figure:mean_delta<W>
    / sqrt(model_version_figure_k:mlcanary_ranking_figure:mean_stderr<W> ^ 2
      + on (<model>, figure, k) group_left ()
        max by (<model>, figure, k) (model_version_figure_k:mlcanary_ranking_figure:mean_stderr<W> <baseline>) ^ 2)
    >= -Inf
"""
