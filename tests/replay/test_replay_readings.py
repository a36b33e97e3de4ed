"""What a replay hands to the judge is what Prometheus would hold had it scraped the exporter at that moment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from judge_replay import NOW, SETTINGS, look, release, start
from judged_release import scraped
from mlcanary.exposition.families import families
from mlcanary.exposition.text import TextRenderer
from mlcanary.formats.native import NativeFormat
from mlcanary.formats.rows import RowReader
from mlcanary.judge.cycle import Judge
from mlcanary.judge.intake import reading as read
from mlcanary.judge.store import Store
from mlcanary.judged_replay.archive import MemoryArchive, MonitorReader
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from released_log import EPOCH, ReleasedLog


def test_a_reading_is_the_page() -> None:
    monitor = Monitor(MonitorPlan(default=ModelPlan(objectives={"error_rise": 0.02}), windows=()), EPOCH)
    reader = MonitorReader(monitor)
    decode = NativeFormat(RowReader(monitor.plan.model))
    lines = [data for _, data in ReleasedLog(3, joins=10, seconds=200).lines()]
    wanted = {read.INFO, *read.COUNTERS, *read.FACTS, *read.REFERENCES}
    for part, at in ((lines[:2000], EPOCH + 100), (lines[2000:], EPOCH + 300)):
        monitor.feed(decode.decode_block(b"".join(part), time.time()).records, at)
        monitor.advance(at, at)
        text, _ = TextRenderer().render(families(monitor.samples(at)))
        page = {
            (sample.name, *sorted((name, value) for name, value in sample.labels.items() if value)): sample.value
            for family in text_string_to_metric_families(text.decode())
            for sample in family.samples
            if sample.name in wanted
        }
        found = reader.read(at)
        assert found.at == reader.now() == at
        assert {(s.name, *sorted(s.labels.items())): s.value for s in found.series} == page
        assert len({s.key for s in found.series}) == len(found.series) == len(page)
        assert {read.INFO, read.PREDICTIONS, read.LATENCY, read.SCORES, read.CONFUSION} <= {
            s.name for s in found.series
        }
    assert reader.read(at, ["nobody"]).series == []


@pytest.mark.parametrize("seed", [1, 2])
def test_an_archive_in_memory_leads_to_the_same_record(seed: int, tmp_path: Path) -> None:
    prometheus, archive = scraped(release(seed)), MemoryArchive()
    judges = [start(prometheus, tmp_path), Judge(prometheus, archive, SETTINGS, "1", lambda: 0.0)]
    for judge in judges:
        for second in NOW:
            look(judge, prometheus, second)
    (key,) = archive.running()
    judges[0].close()
    store = Store(tmp_path / "judge.sqlite")
    assert [record.body for record in archive.records if record.key == key][-1] == store.record(key)
    assert list(archive.steps(key)) == list(store.steps(key))
    assert list(archive.steps(key, 3)) == list(store.steps(key, 3))
    store.close()
