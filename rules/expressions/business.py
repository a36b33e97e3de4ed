"""Outcomes and money, as they arrive and over mature cohorts: rates, standard errors, canary against baseline."""

_CLICK = (
    "* on (cluster, namespace, model, event) group_left ()"
    ' max by (<model>, event) (mlcanary_business_event_info{meaning="click"})'
)
_CONVERSION = _CLICK.replace('"click"', '"conversion"')

PER_EVENT = """
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

ARRIVING = """
# Clicks and conversions. Both are born at zero, so a version that never sells has a rate of 0 as soon as any version
# of its model has sold: only then is it known which event counts.
model_version:mlcanary_predictions:answered_rate<W> :=
    model_version:mlcanary_predictions:rate<W> - model_version:mlcanary_prediction_errors:rate<W>
model_version:mlcanary_clicks:rate<W> :=
    sum by (<version>) (rate(mlcanary_business_events_total[<W>]) <click>)
model_version:mlcanary_conversions:rate<W> :=
    sum by (<version>) (rate(mlcanary_business_events_total[<W>]) <conversion>)
model_version:mlcanary_clicks:ctr<W> :=
    model_version:mlcanary_clicks:rate<W> / (model_version:mlcanary_predictions:answered_rate<W> > 0)
model_version:mlcanary_clicks:ctr_stderr<W> :=
    sqrt(
      clamp_min(model_version:mlcanary_clicks:ctr<W> * (1 - model_version:mlcanary_clicks:ctr<W>), 0)
      / (model_version:mlcanary_predictions:answered_rate<W> * <S> > 0))
# A conversion is taken to follow a click of its request, as far as there are clicks.
model_version:mlcanary_conversions:cvr<W> :=
    model_version:mlcanary_conversions:rate<W> / (model_version:mlcanary_clicks:rate<W> > 0)
model_version:mlcanary_conversions:cvr_stderr<W> :=
    sqrt(
      model_version:mlcanary_conversions:cvr<W> * abs(1 - model_version:mlcanary_conversions:cvr<W>)
      / (model_version:mlcanary_clicks:rate<W> * <S> > 0))
model_version:mlcanary_conversions:per_prediction<W> :=
    model_version:mlcanary_conversions:rate<W> / (model_version:mlcanary_predictions:rate<W> > 0)
model_version:mlcanary_conversions:per_prediction_stderr<W> :=
    sqrt(
      clamp_min(
        model_version:mlcanary_conversions:per_prediction<W>
        * (1 - model_version:mlcanary_conversions:per_prediction<W>), 0)
      / (model_version:mlcanary_predictions:rate<W> * <S> > 0))
# Money of conversions, gains less losses.
model_version:mlcanary_conversion_value:rate<W> :=
    sum by (<version>) (rate(mlcanary_business_value_total{sign="positive"}[<W>]) <conversion>)
    - sum by (<version>) (rate(mlcanary_business_value_total{sign="negative"}[<W>]) <conversion>)
model_version:mlcanary_conversion_value:gmv<W> :=
    model_version:mlcanary_conversion_value:rate<W> * <S>
    and (model_version:mlcanary_predictions:rate<W> > 0 or model_version:mlcanary_conversions:rate<W> > 0)
model_version:mlcanary_conversion_value:per_prediction<W> :=
    model_version:mlcanary_conversion_value:rate<W> / (model_version:mlcanary_predictions:rate<W> > 0)
model_version:mlcanary_conversion_value:per_prediction_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>) (rate(mlcanary_business_value_squares_total[<W>]) <conversion>)
        / (model_version:mlcanary_predictions:rate<W> > 0)
        - model_version:mlcanary_conversion_value:per_prediction<W> ^ 2)
      / (model_version:mlcanary_predictions:rate<W> * <S> - 1 > 0), 0))
model_version:mlcanary_conversion_value:gmv_stderr<W> :=
    model_version:mlcanary_conversion_value:per_prediction_stderr<W>
    * (model_version:mlcanary_predictions:rate<W> * <S>)
model_version:mlcanary_conversion_value:per_mille<W> :=
    1000 * model_version:mlcanary_conversion_value:per_prediction<W>
model_version:mlcanary_conversion_value:per_mille_stderr<W> :=
    1000 * model_version:mlcanary_conversion_value:per_prediction_stderr<W>
"""

MATURE = """
# The same of predictions whose wait is over, all of equal age: late outcomes do not make a young version look bad.
model_version:mlcanary_mature_predictions:count<W> :=
    sum by (<version>) (rate(mlcanary_mature_predictions_total[<W>])) * <S>
model_version:mlcanary_mature_clicks:count<W> :=
    sum by (<version>) (rate(mlcanary_mature_events_total[<W>]) <click>) * <S>
model_version:mlcanary_mature_conversions:count<W> :=
    sum by (<version>) (rate(mlcanary_mature_events_total[<W>]) <conversion>) * <S>
model_version:mlcanary_mature_clicks:ctr<W> :=
    model_version:mlcanary_mature_clicks:count<W> / (model_version:mlcanary_mature_predictions:count<W> > 0)
model_version:mlcanary_mature_clicks:ctr_stderr<W> :=
    sqrt(
      clamp_min(model_version:mlcanary_mature_clicks:ctr<W> * (1 - model_version:mlcanary_mature_clicks:ctr<W>), 0)
      / (model_version:mlcanary_mature_predictions:count<W> > 0))
model_version:mlcanary_mature_conversions:cvr<W> :=
    model_version:mlcanary_mature_conversions:count<W> / (model_version:mlcanary_mature_clicks:count<W> > 0)
model_version:mlcanary_mature_conversions:cvr_stderr<W> :=
    sqrt(clamp_min(
      model_version:mlcanary_mature_conversions:count<W>
      - 2 * model_version:mlcanary_mature_conversions:cvr<W>
        * (sum by (<version>) (rate(mlcanary_mature_clicked_conversions_total[<W>])) * <S>)
      + model_version:mlcanary_mature_conversions:cvr<W> ^ 2 * model_version:mlcanary_mature_clicks:count<W>, 0))
    / (model_version:mlcanary_mature_clicks:count<W> > 0)
model_version:mlcanary_mature_conversions:per_prediction<W> :=
    model_version:mlcanary_mature_conversions:count<W> / (model_version:mlcanary_mature_predictions:count<W> > 0)
model_version:mlcanary_mature_conversions:per_prediction_stderr<W> :=
    sqrt(
      clamp_min(
        model_version:mlcanary_mature_conversions:per_prediction<W>
        * (1 - model_version:mlcanary_mature_conversions:per_prediction<W>), 0)
      / (model_version:mlcanary_mature_predictions:count<W> > 0))
model_version:mlcanary_mature_value:per_prediction<W> :=
    (sum by (<version>) (rate(mlcanary_mature_value_total{sign="positive"}[<W>]) <conversion>)
      - sum by (<version>) (rate(mlcanary_mature_value_total{sign="negative"}[<W>]) <conversion>)) * <S>
    / (model_version:mlcanary_mature_predictions:count<W> > 0)
model_version:mlcanary_mature_value:per_prediction_stderr<W> :=
    sqrt(clamp_min(
      (sum by (<version>) (rate(mlcanary_mature_value_squares_total[<W>]) <conversion>) * <S>
        / (model_version:mlcanary_mature_predictions:count<W> > 0)
        - model_version:mlcanary_mature_value:per_prediction<W> ^ 2)
      / (model_version:mlcanary_mature_predictions:count<W> - 1 > 0), 0))
"""


def compared(figure: str, stderr: str) -> str:
    """Canary minus live baseline, and that in standard errors; `stderr` is a series or an expression of series."""
    return f"""
{figure}_delta<W> :=
    max by (<version>) ({figure}<W> <canary>)
    - on (<model>) group_left () max by (<model>) ({figure}<W> <baseline>)
{figure}_zscore<W> :=
    {figure}_delta<W>
    / sqrt(max by (<version>) ({stderr} <canary>) ^ 2
      + on (<model>) group_left () max by (<model>) ({stderr} <baseline>) ^ 2)
    >= -Inf
""".lstrip()


_V = "model_version:mlcanary_"
TEXT = (
    (PER_EVENT + ARRIVING + MATURE).replace("<click>", _CLICK).replace("<conversion>", _CONVERSION)
    + "# Canary minus live baseline of mature figures, and the difference in standard errors of independent requests.\n"
    + compared(f"{_V}mature_clicks:ctr", f"{_V}mature_clicks:ctr_stderr<W>")
    + compared(f"{_V}mature_conversions:cvr", f"{_V}mature_conversions:cvr_stderr<W>")
    + compared(f"{_V}mature_conversions:per_prediction", f"{_V}mature_conversions:per_prediction_stderr<W>")
    + compared(f"{_V}mature_value:per_prediction", f"{_V}mature_value:per_prediction_stderr<W>")
)

ARRIVED = ARRIVING.replace("<click>", _CLICK).replace("<conversion>", _CONVERSION)
"""Clicks, conversions and money as they arrive."""

CLICK, CONVERSION = _CLICK, _CONVERSION
