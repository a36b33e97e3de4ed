"""The handler's configuration in the worlds: short intervals, one target for each word of a scene."""

from __future__ import annotations

import functools

from handler_world import BAD, GOOD
from mlcanary.handler.settings import Settings, parse_settings

CONFIGURATION = """
prometheus: {url: 'http://127.0.0.1:9', timeout: 5s}
defaults:
  mode: observe
  cooldown: 60s
  budget: 3
  reconcile: 10s
  reconcile_for: 300s
  verification: {window: 10s, windows: 2, min_predictions: 100, deadline: 90s, tolerance: 5s, min_labels: 100}
  evidence: {recheck: 8s, deadline: 30s, max_age: 30s, serving_window: 30s}
  release: {steps: [5, 50, 100], min_trials: 100, hold_deadline: 300s, soak: 60s}
targets:
"""
EXTRA = {
    "approval": "approval: {required: true, expires: 120s}, ",
    "eyes": "approval: {required: true, expires: 120s, four_eyes: true}, ",
    "capacity": "capacity: {requests_per_second: 50, headroom: 1.1, stage_wait: 5s, deadline: 60s}, ",
}
"""What a target of a scene has beside mode react, by its word."""
MODELS = ("alpha", "beta", "gamma", "delta")


@functools.cache
def parsed(modes: tuple[tuple[str, str], ...], extra: tuple[tuple[str, str], ...]) -> Settings:
    """The configuration with these modes, and with what a target has beside."""
    text = CONFIGURATION
    for name, mode in modes:
        text += (
            f"- {{name: {name}, model: {name}, mode: {mode}, {dict(extra).get(name, '')}"
            f"target: {{type: haproxy, socket: /run/{name}, backend: b, servers: {{{GOOD}: a, {BAD}: b}}}}}}\n"
        )
    return parse_settings(text, "handler.yml")
