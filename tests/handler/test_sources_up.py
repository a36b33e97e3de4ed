"""The query that tells whether the logs of a model can be trusted, asked of Prometheus' own evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlcanary.handler.evidence.sources import LAG_BYTES, sources_up
from prometheus_tools import run

PODS = ("a", "b")
INFO = 'mlcanary_model_info{model="churn"}'


def series(name: str, pod: str, values: str, **labels: str) -> dict[str, str]:
    """A series of a pod, a value each minute."""
    named = {"job": "exporter", "instance": pod, **labels}
    return {"series": f"{name}{{{','.join(f'{k}={json.dumps(v)}' for k, v in named.items())}}}", "values": values}


@pytest.mark.parametrize(
    ("up", "lag", "wanted"),
    [
        pytest.param("1x20", "0x20", 1.0, id="all is well"),
        pytest.param("0x20", "0x20", 0.0, id="unreadable"),
        pytest.param("1x20", f"{LAG_BYTES + 1}x20", 0.0, id="behind for long"),
        pytest.param("1x20", f"0x15 {LAG_BYTES + 1}x5", 1.0, id="behind since a moment"),
        pytest.param(None, None, None, id="no exporter"),
    ],
)
def test_one_bad_log_is_enough(tmp_path: Path, up: str | None, lag: str | None, wanted: float | None) -> None:
    given = [series("mlcanary_up", "stranger", "0x20", source="log"), series(INFO[:19], "stranger", "1x20", model="x")]
    for pod in PODS if up is not None and lag is not None else ():
        bad = pod == "b"
        given += [
            series("mlcanary_model_info", pod, "1x20", model="churn", version="v1", role="canary"),
            series("mlcanary_up", pod, up if bad and up else "1x20", source="log"),
            series("mlcanary_log_lag_bytes", pod, lag if bad and lag else "0x20", source="log"),
        ]
    expected = [] if wanted is None else [{"labels": "{}", "value": wanted}]
    asked = {"expr": sources_up(INFO), "eval_time": "20m", "exp_samples": expected}
    test = {"interval": "1m", "input_series": given, "promql_expr_test": [asked]}
    (tmp_path / "test.yml").write_text(json.dumps({"evaluation_interval": "1m", "tests": [test]}))
    status, output = run("promtool", "test", "rules", tmp_path / "test.yml")
    assert status == 0, output
