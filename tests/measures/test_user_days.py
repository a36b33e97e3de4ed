"""Days that come and go, the salt, and the checkpoint of daily users."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from daily_users import NOW, STABLE, TODAY, hashes
from mlcanary.measures.contract import Outcome
from mlcanary.measures.plan import ModelPlan
from mlcanary.measures.users import DAY_SECONDS, UserMeasure
from mlcanary.records import Prediction
from monitored_traffic import value


def measure(*batches: tuple[float, int, int]) -> UserMeasure:
    """A measure that saw batches of (event time, number of users, seed)."""
    made = UserMeasure(ModelPlan(user_salt=b"salt"))
    for ts, n, seed in batches:
        made.on_predictions([Prediction(STABLE, ts, user=int(u)) for u in hashes(n, seed)])
    return made


def active(made: UserMeasure, now: float) -> dict[str, int]:
    """Users by day, rounded."""
    return {s.labels[0]: round(s.value) for s in made.facts(now) if s.name == "mlcanary_daily_active_users"}


def test_two_days_are_kept_and_late_rows_of_an_older_one_are_dropped() -> None:
    made = measure((NOW, 10, 1), (NOW + DAY_SECONDS, 20, 2))
    assert active(made, NOW) == {"today": 10}
    assert active(made, NOW + DAY_SECONDS) == {"today": 20, "yesterday": 10}
    assert active(made, NOW + 2 * DAY_SECONDS) == {"yesterday": 20}
    assert active(made, NOW + 3 * DAY_SECONDS) == {}
    made.on_predictions([Prediction(STABLE, NOW - DAY_SECONDS, user=1)])
    made.on_events([Outcome("purchase", 5.0, NOW - DAY_SECONDS)])
    assert (set(made.days.users), set(made.days.values)) == ({TODAY, TODAY + 1}, set())
    made.on_predictions([Prediction(STABLE, NOW + 2 * DAY_SECONDS, user=1)])
    assert set(made.days.users) == {TODAY + 1, TODAY + 2}


def test_midnight_is_that_of_utc_and_of_event_time() -> None:
    midnight = TODAY * DAY_SECONDS
    made = measure((midnight - 0.001, 3, 1), (midnight, 4, 2))
    assert active(made, midnight) == {"today": 4, "yesterday": 3}


def test_a_request_without_a_user_is_nobody_and_a_failed_one_is_somebody() -> None:
    made = UserMeasure(ModelPlan())
    made.on_predictions([Prediction(STABLE, NOW), Prediction(STABLE, NOW, user=7, error="503")])
    assert active(made, NOW) == {"today": 1}


def test_money_without_users_is_shown_and_money_per_user_is_not() -> None:
    made = UserMeasure(ModelPlan(conversions="order"))
    made.on_events([Outcome("order", 5.0, NOW), Outcome("order", -7.5, NOW), Outcome("click", 1.0, NOW)])
    made.on_events([Outcome("order", None, NOW)])
    assert [s[:1] + s[2:] for s in made.facts(NOW)] == [("mlcanary_daily_value", ("today",), -2.5)]


@pytest.mark.parametrize("users", [0, 5, 50_000])
def test_a_checkpoint_restores_users_and_money_of_both_days(users: int) -> None:
    made = measure((NOW, users, 1), (NOW - DAY_SECONDS, users, 2))
    made.on_events([Outcome("purchase", 0.1, NOW), Outcome("purchase", 0.2, NOW)])
    restored = measure()
    restored.days.load(msgspec.msgpack.decode(msgspec.msgpack.encode(made.days.dump())))
    assert list(restored.facts(NOW)) == list(made.facts(NOW))


def test_under_another_salt_users_start_anew_and_money_stays() -> None:
    made = measure((NOW, 10, 1))
    made.on_events([Outcome("purchase", 3.0, NOW)])
    other = replace(made.plan, user_salt=b"another")
    restarted = UserMeasure(other)
    restarted.days.load(msgspec.msgpack.decode(msgspec.msgpack.encode(made.days.dump())))
    made.replan(other)
    for after in (made, restarted):
        assert active(after, NOW) == {}
        assert value(after.facts(NOW), "daily_value", "today") == 3.0
    made.replan(replace(other, threshold=0.9))
    made.on_predictions([Prediction(STABLE, NOW, user=1)])
    made.replan(other)
    assert active(made, NOW) == {"today": 1}
