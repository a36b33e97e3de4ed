"""Which alerts hold a rollback: asked of a real Alertmanager with the shipped configuration."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping

import pytest

from prometheus_tools import ROOT, alertmanager, get, post, wait_for

CONFIGURATION = ROOT / "alertmanager" / "alertmanager.yml"
Labels = Mapping[str, str]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Alertmanager for all cases; each case speaks of a model of its own."""
    with alertmanager(tmp_path_factory.mktemp("alertmanager"), CONFIGURATION) as running:
        yield running


def rollback(model: str, measure: str = "accuracy", version: str = "v2", **more: str) -> Labels:
    """What a quality alert carries."""
    labels = {"alertname": "MLCanaryAccuracyBelowBaseline", "severity": "critical", "action": "rollback"}
    return {**labels, "model": model, "version": version, "measure": measure, "window": "1h", **more}


VERDICT = {"alertname": "MLCanaryRollbackVerdict", "action": "rollback", "measure": "verdict", "window": "judge"}
CASES = [
    ("exporter down", {"alertname": "MLCanaryExporterDown", "instance": "a:10877"}, {}, True),
    ("source unreadable", {"alertname": "MLCanarySourceUnreadable", "instance": "a:10877"}, {}, True),
    ("source lagging", {"alertname": "MLCanarySourceLagging", "instance": "a:10877"}, {}, True),
    ("role conflict", {"alertname": "MLCanaryRoleConflict", "version": "v1"}, {}, True),
    ("silent baseline", {"alertname": "MLCanaryNoPredictions", "version": "v1", "role": "baseline"}, {}, True),
    ("silent canary", {"alertname": "MLCanaryNoPredictions", "version": "v2", "role": "canary"}, {}, True),
    ("another canary is silent", {"alertname": "MLCanaryNoPredictions", "version": "v9", "role": "canary"}, {}, False),
    ("different bins, AUC", {"alertname": "MLCanaryEdgesMismatch"}, {"measure": "auc"}, True),
    ("different bins, accuracy", {"alertname": "MLCanaryEdgesMismatch"}, {}, False),
    ("drift", {"alertname": "MLCanaryFeatureDrift", "version": "v2", "feature": "age"}, {}, False),
    ("broken lines", {"alertname": "MLCanaryParseErrors", "instance": "a:10877"}, {}, False),
    ("a verdict, exporter down", {"alertname": "MLCanaryExporterDown", "instance": "a:10877"}, VERDICT, True),
    ("a verdict, different bins", {"alertname": "MLCanaryEdgesMismatch"}, VERDICT, False),
    ("a verdict, judge down", {"alertname": "MLCanaryJudgeDown", "instance": "judge:10878"}, VERDICT, False),
    ("a window beside a verdict", {**VERDICT, "version": "v2"}, {"action": "inform"}, True),
    ("a window that asks beside a verdict", {**VERDICT, "version": "v2"}, {}, True),
    ("a verdict on another version", {**VERDICT, "version": "v9"}, {"action": "inform"}, False),
    ("another namespace", {"alertname": "MLCanaryExporterDown", "namespace": "b"}, {"namespace": "a"}, False),
    ("another model", {"alertname": "MLCanaryExporterDown", "model": "other"}, {}, False),
]


@pytest.mark.parametrize(("title", "source", "target", "held"), CASES, ids=[case[0] for case in CASES])
def test_alert_holds_a_rollback(url: str, title: str, source: Labels, target: Labels, held: bool) -> None:
    model = title.replace(" ", "-").replace(",", "")
    cause = {"severity": "warning", "model": model, **source}
    _fire(url, cause, rollback(model, **target))
    assert bool(_inhibited_by(url, model)) is held


def test_an_exporter_that_never_measured_a_model_holds_nothing(url: str) -> None:
    _fire(url, {"alertname": "MLCanaryExporterDown", "instance": "idle:10877"}, rollback("fine"))
    assert not _inhibited_by(url, "fine")


def _fire(url: str, *alerts: Labels) -> None:
    now = datetime.datetime.now(datetime.UTC)
    until = (now + datetime.timedelta(minutes=10)).isoformat()
    post(f"{url}/api/v2/alerts", [{"labels": dict(a), "startsAt": now.isoformat(), "endsAt": until} for a in alerts])
    # The inhibitor works on its own stream of alerts: wait until a control pair, sent last, shows that it got there.
    control = f"control-{now.timestamp()}"
    pair = ({"alertname": "MLCanaryRoleConflict", "model": control}, rollback(control))
    post(f"{url}/api/v2/alerts", [{"labels": dict(a), "startsAt": now.isoformat(), "endsAt": until} for a in pair])
    wait_for("the inhibitor", lambda: _inhibited_by(url, control))


def _inhibited_by(url: str, model: str) -> list[str]:
    """Fingerprints of the alerts that hold the rollback of a model."""
    found = get(f"{url}/api/v2/alerts", filter=f'model="{model}"') or []
    return [mark for alert in found if "action" in alert["labels"] for mark in alert["status"]["inhibitedBy"]]
