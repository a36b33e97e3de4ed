"""Alertmanager bodies: what is read, what is ignored, what is refused."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler_world import alert, payload
from mlcanary.errors import InputError
from mlcanary.handler.intake.payload import SAFE, Alert, Ignored, Measure, Window, parse


def test_a_real_body_becomes_a_frozen_alert() -> None:
    delivery = parse(payload(alert(cluster="west-1", pod="a b")))
    (found,) = delivery.alerts
    assert found.delivery_key[1:] == ("c0ffee0123456789", "2026-01-02T03:04:05.678901234Z")
    assert (found.model, found.version, found.measure, found.window) == ("clicks", "v2", Measure.ACCURACY, Window.FAST)
    assert found.firing
    assert dict(found.labels)["cluster"] == "west-1"
    assert "pod" not in dict(found.labels)


def test_a_verdict_asks_for_a_rollback_over_no_window() -> None:
    (found,) = parse(payload(alert(measure="verdict", window="judge"))).alerts
    assert (found.measure, found.window) == (Measure.VERDICT, Window.JUDGE)


def test_common_labels_are_never_read() -> None:
    bare = {**alert(), "labels": {"alertname": "X", "action": "rollback"}}
    body = payload(bare, commonLabels={"model": "clicks", "version": "v2", "measure": "auc", "window": "5m"})
    assert parse(body).alerts == ()


@pytest.mark.parametrize(
    ("changes", "ignored"),
    [
        ({"action": "ticket"}, Ignored.INFORMS),
        ({"action": "Rollback"}, Ignored.INFORMS),
        ({"version": "v2;id"}, Ignored.UNSAFE_LABEL),
        ({"model": ""}, Ignored.UNSAFE_LABEL),
        ({"fingerprint": "../x"}, Ignored.UNSAFE_LABEL),
        ({"measure": "vibes"}, Ignored.UNKNOWN_MEASURE),
        ({f"l{i}": "x" for i in range(200)}, Ignored.UNSAFE_LABEL),
        ({"window": "5s"}, Ignored.UNKNOWN_MEASURE),
        ({"window": "judge"}, Ignored.UNKNOWN_MEASURE),
        ({"measure": "verdict"}, Ignored.UNKNOWN_MEASURE),
        ({"action": "promote", "measure": "verdict", "window": "judge"}, Ignored.INFORMS),
    ],
)
def test_an_alert_that_asks_for_nothing_known_is_counted(changes: dict[str, str], ignored: Ignored) -> None:
    delivery = parse(payload(alert(), alert(**changes)))
    assert (len(delivery.alerts), delivery.ignored) == (1, (ignored,))


def test_resolved_and_truncated_and_watchdog_are_told() -> None:
    watchdog = {**alert(), "labels": {"alertname": "MLCanaryWatchdog"}}
    delivery = parse(payload(alert(status="resolved"), watchdog, truncatedAlerts=7))
    assert (delivery.alerts[0].firing, delivery.watchdog, delivery.truncated) == (False, True, 7)
    assert delivery.ignored == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no Alertmanager payload"),
        (b"{}", "missing required field `version`"),
        (payload(version="5"), "payload version '5'; allowed: 4"),
        (payload(groupKey="k" * 4097), "groupKey too long"),
        (payload({**alert(), "startsAt": "2026-01-02T03:04:05"}), "startsAt without a zone"),
        (payload({**alert(), "labels": {"version": 2}}), "Expected `str`"),
        (b'{"version":' * 50_000, "no Alertmanager payload"),
        (payload(groupKey="k").replace(b'"k"', b'"\xff"'), "no Alertmanager payload"),
    ],
)
def test_a_body_that_is_none_is_refused_with_the_reason(body: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(body)
    assert said in str(caught.value)


@given(st.text(), st.text(), st.text())
def test_whatever_the_labels_hold_only_safe_text_gets_through(model: str, version: str, fingerprint: str) -> None:
    body = msgspec.json.decode(payload())
    body["alerts"][0]["labels"] |= {"model": model, "version": version, "extra": model}
    body["alerts"][0]["fingerprint"] = fingerprint
    for found in parse(msgspec.json.encode(body)).alerts:
        assert isinstance(found, Alert)
        texts = [found.model, found.version, found.fingerprint, *(text for pair in found.labels for text in pair)]
        assert all(SAFE.fullmatch(text) for text in texts)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InputError):
        assert parse(body).truncated >= 0
