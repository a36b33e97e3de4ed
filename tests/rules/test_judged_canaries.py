"""`model_version:mlcanary_judge:active`, which decides between verdict and windowed rules: when a judge counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from alert_worlds import CANARY, MINUTES, Series, judge
from mlcanary.catalog import Verdict
from promtool_cases import case, check, expression

ACTIVE = "model_version:mlcanary_judge:active"
LOOKS = (1, 19, 23, 26, 40)
STOPPED = tuple((minute, float(min(minute, 20))) for minute in range(MINUTES))


@pytest.mark.parametrize(
    ("series", "judged"),
    [
        pytest.param(judge(), LOOKS, id="a judge that leads and reads"),
        pytest.param(judge((20, Verdict.ROLLBACK)), LOOKS, id="whatever it says"),
        pytest.param(
            judge(read=STOPPED), (1, 19, 23), id="it reads nothing from 20 on: 5 minutes later it does not count"
        ),
        pytest.param(judge((20, None)), (1, 19, 23), id="its series end at 20 and are stale 5 minutes later"),
        pytest.param(judge(leads=((0, 1.0), (20, 0.0))), (1, 19), id="it loses the lead at 20"),
        pytest.param({}, (), id="no judge"),
    ],
)
def test_a_judge_counts_while_it_leads_and_reads(tmp_path: Path, series: Series, judged: tuple[int, ...]) -> None:
    active = ({**CANARY, "__name__": ACTIVE}, 1.0)
    told = [expression(ACTIVE, f"{minute}m", *([active] * (minute in judged))) for minute in LOOKS]
    check(tmp_path, "1m", [case("1m", series, told)], records=[ACTIVE])


def test_two_judges_are_one_answer_as_long_as_one_of_them_leads(tmp_path: Path) -> None:
    """A standby that took over a minute ago, while the series of the old leader are not yet stale."""
    renamed = {key.replace("judge:10878", "other:10878"): values for key, values in judge().items()}
    active = ({**CANARY, "__name__": ACTIVE}, 1.0)
    check(tmp_path, "1m", [case("1m", judge() | renamed, [expression(ACTIVE, "9m", active)])], records=[ACTIVE])
