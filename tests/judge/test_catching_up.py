"""What a judge shows that has more grid times to read than one."""

from __future__ import annotations

from pathlib import Path

from judged_release import EPOCH, Release, scraped
from mlcanary.judge.cycle import Judge
from mlcanary.judge.settings import parse_settings
from mlcanary.judge.store import Store

BAD = Release(1, (0.2, 0.1), seconds=600, requests=100.0)


def test_a_verdict_that_changed_is_shown_at_once_though_more_times_are_due(tmp_path: Path) -> None:
    prometheus = scraped(BAD)
    settings = parse_settings("defaults: {warm_up: 1m}\n", "judge.yml", "http://p:9090")
    judge = Judge(prometheus, Store(tmp_path / "judge.sqlite"), settings, "1.2.3", lambda: 0.0)
    prometheus.clock = EPOCH + 40
    judge.run_once()
    prometheus.clock = EPOCH + 550
    judge.run_once()
    shown = []
    while judge.behind:
        judge.run_once()
        assert judge._memory is not None
        for key, each in judge.view.canaries.items():
            assert each.assessment.verdict == judge._memory.running[key].canary.verdict
            shown.append((each.assessment.verdict, judge.behind))
    judge.close()
    assert ("rollback", True) in shown
