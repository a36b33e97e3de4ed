"""Outcomes and money per request."""

TEXT = """
# Outcomes and money per answered or failed request: a version that fails also sells nothing.
model_version_event:mlcanary_business_events:per_prediction<W> :=
    sum by (<version>, event) (rate(mlcanary_business_events_total[<W>]))
    / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> > 0)
model_version_event:mlcanary_business_value:mean<W> :=
    (sum by (<version>, event) (rate(mlcanary_business_value_total{sign="positive"}[<W>]))
      - sum by (<version>, event) (rate(mlcanary_business_value_total{sign="negative"}[<W>])))
    / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> > 0)
model_version_event:mlcanary_business_value:mean_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>, event) (rate(mlcanary_business_value_squares_total[<W>]))
        / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> > 0)
        - model_version_event:mlcanary_business_value:mean<W> ^ 2)
      / on (<version>) group_left () (model_version:mlcanary_predictions:rate<W> * <S> - 1 > 0), 0))
"""
