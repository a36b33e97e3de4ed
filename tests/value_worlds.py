"""The worlds in which tests hold recorded series against raw events: taken from these tests, which then run no rules.

Input: test modules that call `promtool_cases.check`, also by way of `hold`. Cost: the time in which they make up series
and figures, some four minutes for all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import promtool_cases
from prometheus_tools import run

MODULES = (
    *sorted((Path(__file__).parent / "rules").glob("test_*_over_sidecars.py")),
    Path(__file__).parent / "rules" / "test_recorded_values.py",
    Path(__file__).parent / "rules" / "test_noiseless_values.py",
)


@dataclass(frozen=True)
class World:
    """One of promtool's tests: series and what is expected of recorded ones; how often and in which order rules run."""

    test: Mapping[str, Any]
    every: str
    order: Sequence[str] = ()


def collected(modules: Sequence[Path] = MODULES) -> list[World]:
    """All worlds of these modules, in order; AssertionError where a test of theirs fails without promtool's word."""
    found: list[World] = []

    def keep(name: str, *arguments: str | Path, seconds: float = 120.0) -> tuple[int, str]:
        if arguments[:2] != ("test", "rules"):
            return run(name, *arguments, seconds=seconds)
        document = json.loads(Path(arguments[2]).read_text())
        every, order = document["evaluation_interval"], document["group_eval_order"]
        found.extend(World(test, every, order) for test in document["tests"])
        return 0, ""

    with patch.object(promtool_cases, "run", keep), redirect_stdout(sys.stderr):
        status = pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *map(str, modules)])
    assert status == pytest.ExitCode.OK, "a test of values fails, without a rule being run"
    return found
