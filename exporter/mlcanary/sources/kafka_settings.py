"""A Kafka topic as an entry of `sources`.

sources:
  - kafka:
      brokers: [kafka-1:9092, kafka-2:9092]
      topic: predictions
      group: mlcanary-predictions            # this is the default for that topic
      options: {security.protocol: SASL_SSL, sasl.mechanism: PLAIN, sasl.username: mlcanary}
      secret_files: {sasl.password: secrets/kafka}

Source: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md for `options`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from mlcanary.documents import Schema
from mlcanary.sources.kafka import KafkaFetcher, KafkaPlace
from mlcanary.sources.messages import Envelope
from mlcanary.sources.queue_source import QueueSource

SECRETS = ("password", "secret", "ssl.key.pem", "oauthbearer.config")
"""Options whose name holds one of these are taken from files only."""

OURS = (
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "group.protocol",
    "plugin.library.paths",
)
"""Options that the guarantee rests on, or that would load code."""


class KafkaSection(Schema, frozen=True):
    """The topic and how to reach it. `start`: where a group without offsets begins."""

    brokers: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    topic: Annotated[str, msgspec.Meta(min_length=1)]
    group: str | None = None
    start: Literal["earliest", "latest"] = "earliest"
    envelope: Envelope = "auto"
    max_message_bytes: Annotated[int, msgspec.Meta(ge=1, le=1 << 26)] = 1 << 20
    options: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)
    secret_files: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def name(self) -> str:
        """The source in metrics."""
        return f"kafka:{self.topic}"

    @property
    def needs(self) -> tuple[str, str]:
        """See `QueueSection`."""
        return "confluent_kafka", "kafka"

    def problem(self) -> tuple[tuple[str, ...], str, str] | None:
        """Key, what was found and what is allowed, if an option cannot be used."""
        for key in self.options:
            if key in OURS:
                return ("options", key), "an option that mlcanary sets itself", "the keys of this section"
            if any(part in key for part in SECRETS):
                return ("options", key), "a secret in the configuration", "a file that holds it, under `secret_files`"
        return None

    def anchored(self, base: Path) -> KafkaSection:
        """The same with files relative to `base`."""
        return msgspec.structs.replace(
            self, secret_files={key: str(base / path) for key, path in self.secret_files.items()}
        )

    def files(self) -> dict[tuple[str, ...], str]:
        """The files it names, by key."""
        return {("secret_files", key): path for key, path in self.secret_files.items()}

    def open(self, saved: Any) -> QueueSource:
        """See `QueueSection`."""
        return QueueSource(self.name, KafkaFetcher(self), KafkaPlace(saved))
