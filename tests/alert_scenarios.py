"""Every shipped alert: worlds in which it fires and resolves, and worlds in which it must not fire, with the reason."""

from __future__ import annotations

from business_alert_scenarios import of_the_business
from exporter_alert_scenarios import of_exporters
from feature_limit_alert_scenarios import of_the_limits_of_features
from handler_alert_scenarios import of_the_handler
from judge_alert_scenarios import of_the_judge, of_the_tiers
from label_alert_scenarios import of_labels
from long_alert_scenarios import of_days
from model_alert_scenarios import comparisons, information, labels_that_prove_nothing
from objective_alert_scenarios import of_the_objectives
from split_alert_scenarios import of_the_split

SCENARIOS = [
    *comparisons(),
    *labels_that_prove_nothing(),
    *information(),
    *of_the_limits_of_features(),
    *of_labels(),
    *of_the_objectives(),
    *of_the_business(),
    *of_the_split(),
    *of_exporters(),
    *of_the_handler(),
    *of_the_judge(),
    *of_the_tiers(),
    *of_days(),
]
ALWAYS = "MLCanaryWatchdog"
