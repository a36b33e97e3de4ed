"""Whether the logs behind the figures of a model can be trusted at this moment."""

from __future__ import annotations

LAG_BYTES = 64 * 1024 * 1024
"""As in the alert MLCanarySourceLagging, which holds the webhook: what holds the messenger holds the handler too."""


def sources_up(info: str) -> str:
    """A query: 1 where every log of the model is readable and its exporter keeps up with it, else 0.

    `info`: selector of the model's `mlcanary_model_info`. Without an exporter the answer is empty.
    """
    of_model = f"and on (job, instance) group by (job, instance) ({info})"
    behind = f"min_over_time(mlcanary_log_lag_bytes[10m]) > {LAG_BYTES}"
    return f"min(0 * ({behind} {of_model}) or mlcanary_up {of_model})"
