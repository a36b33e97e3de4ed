"""Facts that hold for every window: limits, roles, edges, the reference."""

from __future__ import annotations

from rules.expressions import drift, objectives

TEXT = (
    """
# Limits. Where sidecars disagree the larger counts: more labels wanted, more difference allowed.
model_objective:mlcanary_objective_threshold:max :=
    max by (<model>, objective) (mlcanary_objective_threshold)
# Limits of single features, which count instead of the model's.
model_feature_objective:mlcanary_feature_objective_threshold:max :=
    max by (<model>, feature, objective) (mlcanary_feature_objective_threshold)
# More than 1 role: the configuration of two sidecars disagrees, and nothing is compared.
model_version:mlcanary_model_info:roles :=
    count by (<version>) (group by (<version>, role) (mlcanary_model_info))
# More than 1 hash: bins of different edges; AUC and drift mean nothing until all sidecars agree.
model:mlcanary_bin_edges_info:hashes :=
    count by (<model>) (group by (<model>, edges) (mlcanary_bin_edges_info))
# The models that an exporter has measured in the last hour, for alerts about the exporter.
instance_model:mlcanary_model_info:last1h :=
    group by (<model>, job, instance) (last_over_time(mlcanary_model_info[1h]))
# Seconds since the last prediction, while it is within a day. `rate5m` sees one for 300 s, so it begins there.
model_version:mlcanary_predictions:silence1d :=
    time() - max_over_time(timestamp(model_version:mlcanary_predictions:rate5m > 0)[1d:1m]) + 300
# The reference profile; every sidecar publishes the same one.
model_feature_bin:mlcanary_feature_reference_ratio:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_ratio)
model_feature_bin:mlcanary_feature_reference_below_ratio:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_below_ratio)
model_feature_bin:mlcanary_feature_reference_point:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_point)
model_feature_bin:mlcanary_feature_reference_gap:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_gap)
model_feature_bin:mlcanary_feature_reference_position:max :=
    max by (<model>, feature, bin) (mlcanary_feature_reference_position)
model_feature:mlcanary_feature_reference_observations:max :=
    max by (<model>, feature) (mlcanary_feature_reference_observations)
model_feature:mlcanary_feature_reference_missing_ratio:max :=
    max by (<model>, feature) (mlcanary_feature_reference_missing_ratio)
model_feature:mlcanary_feature_reference:rows :=
    model_feature:mlcanary_feature_reference_observations:max
    / (1 - model_feature:mlcanary_feature_reference_missing_ratio:max > 0)
model_feature:mlcanary_feature_reference_stddev:max :=
    max by (<model>, feature) (mlcanary_feature_reference_stddev)
# A feature that is constant in the reference has no standard deviation: its gaps are in its own unit.
model_feature:mlcanary_feature_reference_stddev:unit :=
    model_feature:mlcanary_feature_reference_stddev:max > 0
    or model_feature:mlcanary_feature_reference_stddev:max * 0 + 1
# Users and money of a day. Every exporter that has peers merges the same users; without peers there is no such number,
# for those of single sidecars cannot be added. Money can, over the sidecars that still run.
model_version_day:mlcanary_merged_daily_active_users:max :=
    max by (<version>, day) (mlcanary_merged_daily_active_users)
model_version_day:mlcanary_daily_value:sum :=
    sum by (<version>, day) (mlcanary_daily_value)
model_version_day:mlcanary_daily_value:per_user :=
    model_version_day:mlcanary_daily_value:sum / (model_version_day:mlcanary_merged_daily_active_users:max > 0)
model:mlcanary_merged_crossover_users_ratio:max :=
    max by (<model>) (mlcanary_merged_crossover_users_ratio)
"""
    + objectives.FACTS.lstrip()
    + drift.REFERENCE
)
