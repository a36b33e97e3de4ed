"""User-level variance of business figures, and whether traffic is split as configured."""

from rules.expressions.business import CLICK, CONVERSION, compared

_V, _B = "model_version:mlcanary_", "model_version_bucket:mlcanary_user_bucket_"

BUCKETS = """
# Sums by bucket of users. One user's requests are alike and fall into one bucket, so what varies is the buckets.
model_version_bucket:mlcanary_user_bucket_predictions:rate<W> :=
    sum by (<version>, bucket) (rate(mlcanary_user_bucket_predictions_total[<W>]))
model_version_bucket:mlcanary_user_bucket_answered:rate<W> :=
    model_version_bucket:mlcanary_user_bucket_predictions:rate<W>
    - sum by (<version>, bucket) (rate(mlcanary_user_bucket_errors_total[<W>]))
model_version_bucket:mlcanary_user_bucket_clicks:rate<W> :=
    sum by (<version>, bucket) (rate(mlcanary_user_bucket_events_total[<W>]) <click>)
model_version_bucket:mlcanary_user_bucket_conversions:rate<W> :=
    sum by (<version>, bucket) (rate(mlcanary_user_bucket_events_total[<W>]) <conversion>)
# The money of a bucket is that of conversions alone: it counts once they are known.
model_version_bucket:mlcanary_user_bucket_value:rate<W> :=
    sum by (<version>, bucket) (rate(mlcanary_user_bucket_value_total{sign="positive"}[<W>]))
    - sum by (<version>, bucket) (rate(mlcanary_user_bucket_value_total{sign="negative"}[<W>]))
    and model_version_bucket:mlcanary_user_bucket_conversions:rate<W>
"""


def clustered(figure: str, above: str, below: str) -> str:
    """Standard error of a ratio of sums by bucket: Cochran 1977, 6.3; half-width with t of 63 degrees of freedom."""
    above, below = f"{_B}{above}:rate<W>", f"{_B}{below}:rate<W>"
    return f"""
{figure}_user_stderr<W> :=
    sqrt(64 / 63 * sum by (<version>) (
      ({above}
        - {below}
        * on (<version>) group_left () (
          sum by (<version>) ({above})
          / (sum by (<version>) ({below}) > 0))) ^ 2))
    / (sum by (<version>) ({below}) > 0)
    and count by (<version>) ({below} > 0) >= 32
{figure}_user_halfwidth<W> :=
    1.998340542520741 * {figure}_user_stderr<W>
""".lstrip()


SPLIT = """
# Shares as configured, over the window: while a canary is ramped up, the mixture of what was configured.
model_version:mlcanary_expected_share_ratio:mean<W> :=
    sum by (<version>) (sum_over_time(mlcanary_expected_share_ratio[<W>]))
    / on (<model>) group_left () (sum by (<model>) (sum_over_time(mlcanary_expected_share_ratio[<W>])) > 0)
# Requests of the versions that have a share, 0 where there are none; a shadow takes no traffic from anybody.
model_version:mlcanary_predictions:split_rate<W> :=
    (model_version:mlcanary_predictions:rate<W> and model_version:mlcanary_expected_share_ratio:mean<W>)
    or model_version:mlcanary_expected_share_ratio:mean<W> * 0
model_version:mlcanary_predictions:split_share<W> :=
    model_version:mlcanary_predictions:split_rate<W>
    / on (<model>) group_left () (sum by (<model>) (model_version:mlcanary_predictions:split_rate<W>) > 0)
model_version:mlcanary_predictions:split_deviation<W> :=
    model_version:mlcanary_predictions:split_share<W> / (model_version:mlcanary_expected_share_ratio:mean<W> > 0) - 1
# Pearson's chi-square over the versions, and what it exceeds once in 1000 (Wilson and Hilferty).
model:mlcanary_predictions:split_chisquare<W> :=
    sum by (<model>) (
      (model_version:mlcanary_predictions:split_share<W> - model_version:mlcanary_expected_share_ratio:mean<W>) ^ 2
      / (model_version:mlcanary_expected_share_ratio:mean<W> > 0))
    * sum by (<model>) (model_version:mlcanary_predictions:split_rate<W>) * <S>
model:mlcanary_expected_share_ratio:degrees<W> :=
    count by (<model>) (model_version:mlcanary_expected_share_ratio:mean<W>) - 1 > 0
model:mlcanary_predictions:split_chisquare_critical<W> :=
    model:mlcanary_expected_share_ratio:degrees<W>
    * (1 - 2 / (9 * model:mlcanary_expected_share_ratio:degrees<W>)
      + 3.0902 * sqrt(2 / (9 * model:mlcanary_expected_share_ratio:degrees<W>))) ^ 3
# Sticky users: requests of all versions by bucket, and the share of each version with its standard error: the larger
# of two. One is that of the ratio over buckets. It is small by chance where no heavy user has met a small canary, which
# the other knows: what a share varies by when users of such weights, as the spread of the buckets tells, are drawn.
model_bucket:mlcanary_user_bucket_predictions:split_rate<W> :=
    sum by (<model>, bucket) (
      model_version_bucket:mlcanary_user_bucket_predictions:rate<W>
      and on (<version>) model_version:mlcanary_expected_share_ratio:mean<W>)
model_version:mlcanary_predictions:split_user_share<W> :=
    sum by (<version>) (model_version_bucket:mlcanary_user_bucket_predictions:rate<W>
      and on (<version>) model_version:mlcanary_expected_share_ratio:mean<W>)
    / on (<model>) group_left () (sum by (<model>) (model_bucket:mlcanary_user_bucket_predictions:split_rate<W>) > 0)
model_version:mlcanary_predictions:split_user_ratio_stderr<W> :=
    sqrt(64 / 63 * sum by (<version>) (
      (model_version_bucket:mlcanary_user_bucket_predictions:rate<W>
        - (model_version_bucket:mlcanary_user_bucket_predictions:rate<W> * 0
          + on (<model>, bucket) group_left () model_bucket:mlcanary_user_bucket_predictions:split_rate<W>)
        * on (<version>) group_left () model_version:mlcanary_predictions:split_user_share<W>) ^ 2))
    / on (<model>) group_left () (sum by (<model>) (model_bucket:mlcanary_user_bucket_predictions:split_rate<W>) > 0)
model_version:mlcanary_predictions:split_user_drawn_stderr<W> :=
    sqrt(
      model_version:mlcanary_expected_share_ratio:mean<W>
      * (1 - model_version:mlcanary_expected_share_ratio:mean<W>)
      * on (<model>) group_left () (
        64 / 63 * sum by (<model>) (
          (model_bucket:mlcanary_user_bucket_predictions:split_rate<W>
            - on (<model>) group_left ()
              sum by (<model>) (model_bucket:mlcanary_user_bucket_predictions:split_rate<W>) / 64) ^ 2)))
    / on (<model>) group_left () (sum by (<model>) (model_bucket:mlcanary_user_bucket_predictions:split_rate<W>) > 0)
model_version:mlcanary_predictions:split_user_zscore<W> :=
    (model_version:mlcanary_predictions:split_user_share<W> - model_version:mlcanary_expected_share_ratio:mean<W>)
    / (model_version:mlcanary_predictions:split_user_ratio_stderr<W>
        >= model_version:mlcanary_predictions:split_user_drawn_stderr<W>
      or model_version:mlcanary_predictions:split_user_drawn_stderr<W>)
    >= -Inf
    and on (<model>) count by (<model>) (model_bucket:mlcanary_user_bucket_predictions:split_rate<W> > 0) >= 32
# 1: a share is more than 5 % off, and chance explains it once in 1000 at most. Where users are known they must bear it
# out: t with 63 degrees of freedom, at p = 0.001. 0 also where users are too few to tell.
model:mlcanary_predictions:split_mismatch<W> :=
    (max by (<model>) (abs(model_version:mlcanary_predictions:split_deviation<W>)) > bool 0.05)
    * (model:mlcanary_predictions:split_chisquare<W> > bool model:mlcanary_predictions:split_chisquare_critical<W>)
    * (min by (<model>) (model_version:mlcanary_expected_share_ratio:mean<W>)
      * sum by (<model>) (model_version:mlcanary_predictions:split_rate<W>) * <S> >= bool 5)
    * (
      (max by (<model>) (abs(model_version:mlcanary_predictions:split_user_zscore<W>)) > bool 3.4518)
      or 0 * (sum by (<model>) (model_bucket:mlcanary_user_bucket_predictions:split_rate<W>) > 0)
      or model:mlcanary_predictions:split_chisquare<W> * 0 + 1)
"""


def certain(figure: str) -> str:
    """The standard error over users where there is one, else that of independent requests."""
    return f"({figure}_user_stderr<W> or {figure}_stderr<W>)"


FIGURES = (
    (f"{_V}clicks:ctr", "clicks", "answered"),
    (f"{_V}conversions:cvr", "conversions", "clicks"),
    (f"{_V}conversions:per_prediction", "conversions", "predictions"),
    (f"{_V}conversion_value:per_prediction", "value", "predictions"),
)

TEXT = (
    BUCKETS.replace("<click>", CLICK).replace("<conversion>", CONVERSION)
    + "# Standard errors over users, and half of the 95 % interval.\n"
    + "".join(clustered(*names) for names in FIGURES)
    + "# Canary minus live baseline as outcomes arrive, in standard errors over users where these are known.\n"
    + "".join(compared(figure, certain(figure)) for figure, _, _ in FIGURES)
    + SPLIT.lstrip()
)
