"""Clicks, mature outcomes, buckets of users and configured shares for the simulated hour of a release."""

from __future__ import annotations

import numpy as np

from mlcanary.catalog import NEGATIVE, POSITIVE
from simulated_release import BASELINE, CANARY, MODEL, Scrapes

EXPORTER = {"job": "mlcanary-exporter", "instance": "exporter:10877", "model": MODEL}
BUCKETS = 64


def add_business(history: Scrapes) -> None:
    """Everything grows steadily, each bucket of users at its own pace."""
    elapsed = history.instants - history.instants[0]
    rng = np.random.default_rng(7)
    for meaning, event in (("click", "click"), ("conversion", "purchase")):
        history.put("mlcanary_business_event_info", 1.0, **EXPORTER, event=event, meaning=meaning)
    for version, share in ((BASELINE, 0.8), (CANARY, 0.2)):
        of = {**EXPORTER, "version": version}
        history.put("mlcanary_expected_share_ratio", share, **of)
        clicked = {**of, "event": "click"}
        history.put("mlcanary_business_events_total", elapsed * share, **clicked)
        history.put("mlcanary_mature_predictions_total", elapsed * 6 * share, **of)
        history.put("mlcanary_mature_clicked_conversions_total", elapsed * 0.3 * share, **of)
        history.put("mlcanary_mature_events_total", elapsed * share, **clicked)
        sale = {**of, "event": "purchase"}
        history.put("mlcanary_mature_events_total", elapsed * 0.4 * share, **sale)
        history.put("mlcanary_mature_value_squares_total", elapsed * 40 * share, **sale)
        for sign, rate in ((POSITIVE, 3.0), (NEGATIVE, 0.2)):
            history.put("mlcanary_mature_value_total", elapsed * rate * share, **sale, sign=sign)
        for bucket in range(BUCKETS):
            place, pace = {**of, "bucket": str(bucket)}, share * elapsed / BUCKETS
            history.put("mlcanary_user_bucket_predictions_total", pace * rng.uniform(4, 8), **place)
            history.put("mlcanary_user_bucket_errors_total", pace * rng.uniform(0, 0.2), **place)
            for event, rate in (("click", 1.0), ("purchase", 0.4)):
                history.put(
                    "mlcanary_user_bucket_events_total", pace * rate * rng.uniform(0.5, 1.5), **place, event=event
                )
            for sign, rate in ((POSITIVE, 3.0), (NEGATIVE, 0.2)):
                history.put("mlcanary_user_bucket_value_total", pace * rate * rng.uniform(0.5, 1.5), **place, sign=sign)
