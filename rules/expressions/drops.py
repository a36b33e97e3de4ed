"""Clicks, conversions and money that are lost: of the canary against the baseline, of the model against last week."""

from __future__ import annotations

from dataclasses import dataclass

_V = "model_version:mlcanary_"


@dataclass(frozen=True)
class Figure:
    """A ratio by version, `events` that make it known, `units` below it, without their windows."""

    name: str
    stderr: str
    events: str
    units: str
    says: str

    @property
    def of_model(self) -> str:
        """The same of the whole model."""
        return self.name.replace("model_version:", "model:")


FIGURES = (
    Figure(
        f"{_V}clicks:ctr",
        f"({_V}clicks:ctr_user_stderr<W> or {_V}clicks:ctr_stderr<W>)",
        f"{_V}clicks:rate<W>",
        f"{_V}predictions:answered_rate<W>",
        "Clicks per answered request.",
    ),
    Figure(
        f"{_V}conversions:cvr",
        f"({_V}conversions:cvr_user_stderr<W> or {_V}conversions:cvr_stderr<W>)",
        f"{_V}conversions:rate<W>",
        f"{_V}clicks:rate<W>",
        "Conversions per click.",
    ),
    Figure(
        f"{_V}conversion_value:per_prediction",
        f"({_V}conversion_value:per_prediction_user_stderr<W> or {_V}conversion_value:per_prediction_stderr<W>)",
        f"{_V}conversions:rate<W>",
        f"{_V}predictions:rate<W>",
        "Money of conversions per request.",
    ),
)

_DROP = """
# <says> The part of the baseline's that the canary lacks; 1 where it has none.
<name>_drop<W> :=
    -<name>_delta<W>
    / on (<model>) group_left () (max by (<model>) (<name><W> <baseline>) > 0)
# At least 30 events of the baseline, 30 that the canary would have at the baseline's pace, and a canary that took
# requests an hour ago: the events of a younger one are still to come.
<name>_comparable<W> :=
    (
      <units> * <S>
      * on (<model>) group_left () max by (<model>) (<events> / <units> <baseline>) >= 30
      and on (<version>) model_version:mlcanary_predictions:comparable<W>
      and on (<version>) model_version:mlcanary_predictions:rate5m offset 1h > 0
    )
    and on (<model>) (<events> * <S> >= 30 <baseline>)
# All versions together, and the part of what the same hour a week ago had that is gone.
<of_model><W> :=
    sum by (<model>) (<name><W> * <units>) / (sum by (<model>) (<units>) > 0)
<of_model>_stderr<W> :=
    sqrt(sum by (<model>) ((<stderr> * <units>) ^ 2)) / (sum by (<model>) (<units>) > 0)
<of_model>_events<W> :=
    sum by (<model>) (<events>) * <S>
<of_model>_units<W> :=
    sum by (<model>) (<units>) * <S>
<of_model>_week_drop<W> :=
    1 - <of_model><W> / (<of_model><W> offset 1w > 0)
<of_model>_week_zscore<W> :=
    (<of_model><W> - <of_model><W> offset 1w)
    / sqrt(<of_model>_stderr<W> ^ 2 + (<of_model>_stderr<W> offset 1w) ^ 2)
    >= -Inf
# At least 30 events a week ago, and 30 that there would be now at the pace of then.
<of_model>_week_comparable<W> :=
    <of_model>_units<W> * (<of_model>_events<W> offset 1w / <of_model>_units<W> offset 1w) >= 30
    and <of_model>_events<W> offset 1w >= 30
"""


def _of(figure: Figure) -> str:
    words = {
        "<of_model>": figure.of_model,
        "<name>": figure.name,
        "<stderr>": figure.stderr,
        "<events>": figure.events,
        "<units>": figure.units,
        "<says>": figure.says,
    }
    text = _DROP
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text.lstrip()


TEXT = "".join(map(_of, FIGURES))
