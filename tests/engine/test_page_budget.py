"""A page over its budget degrades as documented, says so, and is whole again after a reload with more room."""

from __future__ import annotations

import json
from pathlib import Path

from exporter_process import Counters, parsed, total
from mlcanary.engine import Engine
from mlcanary.exposition.landing import render_landing
from mlcanary.settings import ExporterSettings, Flags, load_settings

NOW = 1_760_000_000.0
SEGMENTED = "models: [{name: m, segments: [country, device]}]\nlimits: {series: SERIES, segment_values: 20}\n"


def settings(directory: Path, series: int) -> ExporterSettings:
    """The exporter over the log of the test, with room for so many series."""
    config = directory / "exporter.yml"
    config.write_text(SEGMENTED.replace("SERIES", str(series)))
    return load_settings(Flags(log_paths=(str(directory / "log.jsonl"),), config_file=config))


def write_log(directory: Path) -> None:
    """Predictions from twenty countries on two devices."""
    with (directory / "log.jsonl").open("w") as handle:
        for i in range(400):
            features = {"country": f"c{i % 20}", "device": ("web", "app")[i % 2]}
            record = {"id": f"r{i}", "ts": NOW - 1, "model": "m", "version": "v1", "score": (i % 9) / 9, "label": i % 2}
            handle.write(json.dumps({**record, "features": features}) + "\n")


def shown(engine: Engine) -> Counters:
    """Read everything, publish, and parse the page."""
    while engine.read_some():
        pass
    engine.publish()
    return parsed(engine.page.text.decode())


def series(page: Counters, prefix: str) -> int:
    """Series of families whose name begins so."""
    return sum(name.startswith(prefix) for name, _ in page)


def test_segments_leave_the_page_before_anything_else_and_come_back_with_a_larger_budget(tmp_path: Path) -> None:
    write_log(tmp_path)
    engine = Engine(settings(tmp_path, 1500), clock=lambda: NOW)
    for _ in range(2):  # the second page never had them
        page = shown(engine)
        assert series(page, "mlcanary_segment_") == series(page, "mlcanary_window_segment_") == 0
        assert series(page, "mlcanary_labeled_") > 400
        left_out = total(page, "mlcanary_series_dropped", reason="segments")
        assert left_out > 2000
        assert total(page, "mlcanary_series_dropped") == left_out
    assert f'<td>figures per segment</td><td class="number">{left_out:,.0f}</td>' in landing(engine)
    engine.reload(settings(tmp_path, 50_000))
    page = shown(engine)
    assert series(page, "mlcanary_segment_") + series(page, "mlcanary_window_segment_") == left_out
    assert total(page, "mlcanary_series_dropped", reason="segments") == 0
    assert "limits.series" not in landing(engine)
    engine.close()


def landing(engine: Engine) -> str:
    """The page that a person sees."""
    return render_landing(engine.page, "/metrics")
