"""The report in the guide on formats is the one that its three lines give."""

from __future__ import annotations

import re
from datetime import datetime

from guides import guide, section
from mlcanary.doctor.diagnosis import diagnose
from mlcanary.doctor.report import as_text
from mlcanary.doctor.sample import Sample, SampledLog

SECTION = section(guide("formats"), "Find out: `mlcanary doctor`")


def test_the_report_is_that_of_the_lines() -> None:
    found = re.search(r"```json\n(.*?\n)```\n.*?```text\n(.*?)```", SECTION, re.DOTALL)
    assert found is not None
    lines, shown = found[1].encode(), found[2]
    path = "/var/log/model/served.jsonl"
    sample = Sample(path, (SampledLog(path, tuple(lines.splitlines()), len(lines), complete=True),), 1)
    now = datetime.fromisoformat("2026-11-01T10:05:00Z").timestamp()
    assert as_text(diagnose([sample], now)) == shown
