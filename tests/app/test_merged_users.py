"""Two real exporters beside two model servers: users are counted once, whoever served them, and nobody waits."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from exporter_process import Counters, ExporterProcess, total
from mlcanary.stats.distinct import relative_error

DAU, CROSSOVER = "mlcanary_merged_daily_active_users", "mlcanary_merged_crossover_users_ratio"


def write_log(path: Path, version: str, users: range) -> None:
    """One request of each user, a moment ago."""
    now = time.time()
    path.write_text(
        "".join(
            f'{{"id":"{version}-{user}","ts":{now},"model":"m","version":"{version}","user_id":"u-{user}","score":0.5}}\n'
            for user in users
        )
    )


def configuration(folder: Path, name: str, salt: str, peers: str = "[]") -> list[str]:
    """Flags of an exporter that reads `name`.jsonl."""
    config = folder / f"{name}.yml"
    config.write_text(
        f"sources: [{{path: {name}.jsonl}}]\n"
        "models: [{name: m, roles: {v1: baseline, v2: canary}}]\n"
        f"users: {{salt: {salt}, peers: {peers}, interval: 1s}}\n"
    )
    return ["--config.file", str(config), "--publish.interval", "100ms", "--poll.interval", "50ms"]


def test_two_exporters_merge_their_users(tmp_path: Path) -> None:
    write_log(tmp_path / "one.jsonl", "v1", range(1000))
    write_log(tmp_path / "two.jsonl", "v2", range(900, 1100))
    write_log(tmp_path / "third.jsonl", "v2", range(5000, 6000))
    with (
        ExporterProcess(*configuration(tmp_path, "two", "s"), log=tmp_path / "two.log") as two,
        ExporterProcess(*configuration(tmp_path, "third", "another"), log=tmp_path / "third.log") as third,
    ):
        peers = f"['http://{two.address}', 'http://{third.address}']"
        flags = configuration(tmp_path, "one", "s", peers)
        with ExporterProcess(*flags, log=tmp_path / "one.log") as one:
            page = one.wait_for(lambda page: total(page, DAU) > 1100)
            _assert_merged(page)
            page = one.wait_for(lambda page: total(page, "mlcanary_sketch_fetch_failures_total", reason="salt") > 0)
            assert total(page, "mlcanary_sketch_peers", state="ok") == 1
            assert total(page, "mlcanary_sketch_peers", state="failed") == 1
            landing = one.get("/")
            assert "users are hashed with another salt" in landing
            assert f"http://{two.address}" in landing
            two.kill()
            page = one.wait_for(lambda page: total(page, "mlcanary_sketch_peers", state="failed") == 2)
            assert total(page, "mlcanary_sketch_peers", state="failed") == 2
            _assert_merged(page)


def test_a_peer_that_never_answers_delays_neither_records_nor_pages(tmp_path: Path) -> None:
    write_log(tmp_path / "one.jsonl", "v1", range(500))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and is never asked to read them
        flags = configuration(tmp_path, "one", "s", f"['http://127.0.0.1:{silent.getsockname()[1]}']")
        with ExporterProcess(*flags, log=tmp_path / "one.log") as one:
            page = one.wait_for(lambda page: total(page, "mlcanary_predictions_total") == 500, seconds=5)
            assert total(page, "mlcanary_predictions_total") == 500
            assert total(page, "mlcanary_daily_active_users") == pytest.approx(500, rel=4 * relative_error())
            assert total(page, DAU) == 0, "the peer has 10 s; until then nothing is known of it"
            started = time.monotonic()
            assert one.terminate() == 0
            assert time.monotonic() - started < 8


def test_users_of_today_survive_a_kill_and_are_not_counted_again(tmp_path: Path) -> None:
    write_log(tmp_path / "one.jsonl", "v1", range(700))
    flags = [*configuration(tmp_path, "one", "s"), "--state.path", str(tmp_path / "state.db")]
    pages = []
    for _ in range(2):
        with ExporterProcess(*flags, log=tmp_path / "one.log") as one:
            pages.append(one.wait_for(lambda page: total(page, "mlcanary_daily_active_users") > 0))
            one.kill()
    active = [total(page, "mlcanary_daily_active_users", day="today") for page in pages]
    assert active[0] == active[1] == pytest.approx(700, rel=4 * relative_error())


def _assert_merged(page: Counters) -> None:
    for version, users in (("v1", 1000), ("v2", 200)):
        assert total(page, DAU, version=version) == pytest.approx(users, rel=4 * relative_error())
    error = total(page, "mlcanary_merged_crossover_users_error_ratio")
    assert abs(total(page, CROSSOVER, model="m") - 100 / 200) <= error < 0.1
