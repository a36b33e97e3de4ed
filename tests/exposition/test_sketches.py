"""Sketches between sidecars: the document, what is refused, and the figures over all of them."""

from __future__ import annotations

import json
import math
from functools import reduce
from typing import Any

import pytest

from daily_users import CANARY, NOW, SALT, STABLE, TODAY, fleet, hashes, monitor_of, plan
from mlcanary.catalog import INDICATORS
from mlcanary.catalog.users import FETCH_FAILURES
from mlcanary.exposition.sketches import Peer, PeerView, SketchesRefused, decode, encode, merged_samples, union
from mlcanary.measures.users import DAY_SECONDS, salt_fingerprint
from mlcanary.monitor.users import Sketches
from mlcanary.stats.distinct import HyperLogLog, relative_error
from monitored_traffic import value

METRICS = {row.name: row.metric for row in INDICATORS}
FOUR_STANDARD_ERRORS = 4 * relative_error()


def same(one: Sketches, other: Sketches) -> bool:
    """Whether both hold the same registers."""
    return one.keys() == other.keys() and all((one[k].registers == other[k].registers).all() for k in one)


def test_what_is_sent_is_what_is_received_and_holds_no_user() -> None:
    sidecar = fleet(1, 1, 300).sidecars[0]
    sent = monitor_of(sidecar).sketches()
    body = encode(sent, SALT)
    assert same(decode(body, SALT), sent)
    assert {row["day"] for row in json.loads(body)["sketches"]} == {"2027-01-15"}
    assert not any(str(int(user)) in body.decode() for users in sidecar.values() for user in users)


def test_a_fingerprint_tells_salts_apart_and_is_none_of_them() -> None:
    salts = [b"", b"one", b"two", b"x" * 100]
    prints = [salt_fingerprint(salt) for salt in salts]
    assert len(set(prints)) == len(salts)
    assert not any(salt.decode() in text for salt, text in zip(salts[1:], prints[1:], strict=True))


def changed(**parts: Any) -> bytes:
    """A good document but for these parts."""
    good = json.loads(encode({("m", "v", TODAY): HyperLogLog.empty()}, SALT))
    row = {key: parts.pop(key) for key in ("day", "registers", "model") if key in parts}
    good["sketches"][0] |= row
    return json.dumps(good | parts).encode()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "malformed"),
        (b"<html>", "malformed"),
        (b"\xff{}", "malformed"),
        (b"[" * 100_000, "malformed"),
        (changed(format=2), "malformed"),
        (changed(sketches=[{}]), "malformed"),
        (changed(day="yesterday"), "malformed"),
        (changed(model="m" * 201), "malformed"),
        (changed(registers="AAAA"), "malformed"),
        (changed(registers="not base64!"), "malformed"),
        (changed(registers="/" * 21845 + "w=="), "malformed"),
        (changed(precision=12), "precision"),
        (changed(salt=salt_fingerprint(b"another")), "salt"),
    ],
    ids=range(13),
)
def test_a_doubtful_document_is_refused_whole_with_a_known_reason(body: bytes, reason: str) -> None:
    with pytest.raises(SketchesRefused) as caught:
        decode(body, SALT)
    assert caught.value.reason == reason
    assert reason in FETCH_FAILURES


def test_users_over_twenty_sidecars_are_counted_once() -> None:
    """Against sets of users; tests/bench has the million."""
    active_users, overlap = METRICS["daily active users (DAU)"], METRICS["users seen in both arms"]
    for seed in (1, 2, 3):
        made = fleet(seed, 20, 20_000)
        own, *others = made.sketches()
        view = PeerView(sketches=reduce(union, others, {}))
        shown = list(merged_samples(view, own, plan().role, NOW))
        for key in (STABLE, CANARY):
            active = value(shown, active_users, *key, "today")
            assert active == pytest.approx(len(made.users(key)), rel=FOUR_STANDARD_ERRORS)
        both = made.users(STABLE) & made.users(CANARY)
        ratio = value(shown, overlap, "churn")
        error = value(shown, "merged_crossover_users_error_ratio", "churn")
        assert ratio is not None
        assert error is not None
        assert abs(ratio - len(both) / len(made.users(CANARY))) <= error < 0.1


def test_one_exporter_shows_its_own_overlap_within_the_error_it_states() -> None:
    made = fleet(5, 1, 4_000, canary=0.5, crossing=0.3)
    shown = list(monitor_of(made.sidecars[0]).samples(NOW))
    ratio = value(shown, METRICS["users seen in both arms, of one exporter"], "churn")
    error = value(shown, "crossover_users_error_ratio", "churn")
    assert ratio is not None
    assert error is not None
    assert abs(ratio - len(made.users(STABLE) & made.users(CANARY)) / len(made.users(CANARY))) <= error < 0.05
    assert value(shown, "daily_active_users_relative_error") == relative_error()
    for key in (STABLE, CANARY):
        active = value(shown, "daily_active_users", *key, "today")
        assert active == pytest.approx(len(made.users(key)), rel=FOUR_STANDARD_ERRORS)


def test_without_a_canary_a_baseline_or_users_there_is_no_overlap() -> None:
    for sidecar in ({STABLE: hashes(10, 1)}, {CANARY: hashes(10, 1)}, {}):
        monitor = monitor_of(sidecar)
        assert value(monitor.samples(NOW), "crossover_users_ratio", "churn") is None
    both = monitor_of({STABLE: hashes(10, 1), CANARY: hashes(10, 1)})
    assert value(both.samples(NOW), "crossover_users_ratio", "churn") == 1.0
    assert value(both.samples(NOW + DAY_SECONDS), "crossover_users_ratio", "churn") is None


def test_days_other_than_today_and_yesterday_are_not_shown() -> None:
    view = PeerView(sketches={("m", "v", TODAY + d): _one_user(d) for d in range(-3, 3)})
    shown = [s.labels for s in merged_samples(view, {}, plan().role, NOW) if s.name.endswith("_active_users")]
    assert shown == [("m", "v", "yesterday"), ("m", "v", "today")]


def test_states_and_reasons_are_born_at_zero() -> None:
    peers = [Peer("http://a:1", True, "", NOW), Peer("http://b:1", False, "refused", None)]
    shown = list(merged_samples(PeerView(peers, failures={"salt": 3}), {}, plan().role, NOW))
    assert [(s.labels, s.value) for s in shown if s.name == "mlcanary_sketch_peers"] == [
        (("ok",), 1.0),
        (("failed",), 1.0),
    ]
    failures = {s.labels[0]: s.value for s in shown if s.name == "mlcanary_sketch_fetch_failures_total"}
    assert failures == {reason: 3.0 if reason == "salt" else 0.0 for reason in FETCH_FAILURES}


def test_merging_changes_neither_side() -> None:
    one, other = {("m", "v", 1): _one_user(1)}, {("m", "v", 1): _one_user(2), ("m", "w", 1): _one_user(3)}
    before = encode(one, SALT), encode(other, SALT)
    merged = union(one, other)
    assert (encode(one, SALT), encode(other, SALT)) == before
    assert math.isclose(merged["m", "v", 1].estimate(), 2.0, rel_tol=1e-3)


def _one_user(seed: int) -> HyperLogLog:
    sketch = HyperLogLog.empty()
    sketch.update_many(hashes(1, seed + 100))
    return sketch
