"""A NATS JetStream stream, read by a pull consumer; acknowledged after the checkpoint."""

from __future__ import annotations

from mlcanary.documents import Schema


class NatsSection(Schema, frozen=True):
    """x"""
