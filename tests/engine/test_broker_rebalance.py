"""Two real exporters share a Kafka topic; one joins, leaves and comes back while messages arrive: each counts once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from exporter_process import Counters, ExporterProcess, total
from kafka_cluster import KafkaCluster

ROUND = 1200
OPTIONS = "{session.timeout.ms: 3000, heartbeat.interval.ms: 100}"


class Fleet:
    """Exporters by name, and what they have counted together."""

    def __init__(self, cluster: KafkaCluster, directory: Path) -> None:
        self._cluster, self._directory = cluster, directory
        self._config = directory / "exporter.yml"
        self._config.write_text(
            f"sources:\n  - kafka: {{brokers: ['{cluster.address}'], topic: predictions, options: {OPTIONS}}}\n"
        )
        self.running: dict[str, ExporterProcess] = {}
        self.sent = 0

    def start(self, name: str) -> None:
        """With a state file of its own."""
        flags = ["--config.file", str(self._config), "--state.path", str(self._directory / f"{name}.db")]
        flags += ["--publish.interval", "100ms", "--poll.interval", "20ms"]
        self.running[name] = ExporterProcess(*flags, log=self._directory / f"{name}.log")

    def send(self) -> None:
        """A round of messages, over both partitions."""
        ids = range(self.sent, self.sent + ROUND)
        ts = time.time()
        values = [json.dumps({"id": f"r{i}", "ts": ts, "version": "v1", "score": 0.5}).encode() for i in ids]
        for partition in (0, 1):
            self._cluster.produce("predictions", values[partition::2], partition=partition)
        self.sent += ROUND

    def until(self, wanted: Callable[[dict[str, Counters]], bool]) -> dict[str, Counters]:
        """Pages of all, once they are as wanted."""
        deadline = time.monotonic() + 40
        while True:
            pages = {name: each.counters() for name, each in self.running.items()}
            if wanted(pages):
                return pages
            assert time.monotonic() < deadline, (self.sent, self.counted(pages), self.committed())
            next(iter(self.running.values())).pause(0.05)

    def committed(self) -> list[int]:
        """The group's offsets."""
        return self._cluster.committed("predictions", "mlcanary-predictions", 2)

    def counted(self, pages: dict[str, Counters]) -> float:
        """Predictions, of all."""
        return sum(total(page, "mlcanary_predictions_total") for page in pages.values())


def _read_by_both(pages: dict[str, Counters]) -> bool:
    return all(total(page, "mlcanary_predictions_total") > 0 for page in pages.values())


def _made_durable(page: Counters) -> float:
    return total(page, "mlcanary_checkpoint_timestamp_seconds")


def test_partitions_move_between_exporters_without_a_message_lost_or_doubled(tmp_path: Path) -> None:
    with KafkaCluster() as cluster:
        cluster.topic("predictions", 2)
        cluster.answer_after(100)
        fleet = Fleet(cluster, tmp_path)
        try:
            fleet.start("a")
            fleet.send()
            fleet.until(lambda pages: fleet.counted(pages) == fleet.sent)
            fleet.start("b")
            fleet.send()
            fleet.until(lambda pages: total(pages["b"], "mlcanary_up") == 1)
            fleet.send()
            fleet.until(lambda pages: _read_by_both(pages) and fleet.counted(pages) >= fleet.sent)
            fleet.send()
            assert fleet.running.pop("a").terminate() == 0, "it hands over in the middle of a round"
            fleet.send()
            fleet.start("a")
            fleet.send()
            fleet.until(lambda pages: total(pages["a"], "mlcanary_up") == 1)
            fleet.until(lambda _pages: sum(fleet.committed()) == fleet.sent)
            # All was read and is durable: the pages that follow say what was counted, and no more can come.
            now = time.time()
            pages = fleet.until(lambda pages: min(map(_made_durable, pages.values())) > now)
        finally:
            for exporter in fleet.running.values():
                exporter.terminate()
    assert fleet.counted(pages) == fleet.sent
    assert sum(total(page, "mlcanary_duplicate_predictions_total") for page in pages.values()) == 0
    assert sum(total(page, "mlcanary_log_lost_total") for page in pages.values()) == 0
