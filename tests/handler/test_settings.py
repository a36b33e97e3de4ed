"""The configuration corpus: each mistake, and the exact text that it gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mlcanary.documents import Seconds
from mlcanary.errors import ConfigError
from mlcanary.handler.settings import EvidenceLimits, Verification, parse_settings, require_safe_exposure

CORPUS = yaml.safe_load((Path(__file__).parent / "settings_corpus.yml").read_text())
GOOD = """\
prometheus: {url: http://127.0.0.1:9090}
defaults:
  cooldown: 10m
  verification: {window: 20s, max_share: 0.01}
targets:
- name: router
  model: clicks
  mode: react
  target: {type: haproxy, socket: /run/haproxy.sock, backend: models, servers: {v1: stable, v2: canary}}
  verification: {window: 45s}
  labels: {cluster: west}
- name: flag
  model: clicks
  target:
    type: file
    path: /srv/current
    values: {v1: a, v2: b}
    reload: {pid_file: /run/server.pid}
- name: hook
  model: clicks
  target: {type: http, url: "http://10.0.0.1/switch", versions: {v1: a, v2: b}}
- name: script
  model: clicks
  target: {type: command, argv: [/usr/local/bin/roll], versions: [v1, v2]}
"""


def test_defaults_are_filled_in_key_by_key() -> None:
    settings = parse_settings(GOOD, "handler.yml")
    router, flag, _hook, script = settings.targets
    assert (router.mode, flag.mode, settings.reacts) == ("react", "observe", True)
    assert router.verification == Verification(window=45.0, max_share=0.01)
    assert flag.verification == Verification(window=20.0, max_share=0.01)
    assert router.evidence == EvidenceLimits()
    assert (router.cooldown, router.budget, router.labels) == (600.0, 2, (("cluster", "west"),))
    assert script.versions == ("v1", "v2")


def test_the_digest_names_the_text() -> None:
    assert parse_settings(GOOD, "a").digest == parse_settings(GOOD, "b").digest
    assert parse_settings(GOOD, "a").digest != parse_settings(GOOD + "# x\n", "a").digest


@pytest.mark.parametrize("entry", CORPUS, ids=lambda entry: entry["error"])
def test_each_mistake_is_named_with_file_line_key_found_and_allowed(entry: dict[str, str]) -> None:
    assert entry["old"] in GOOD
    with pytest.raises(ConfigError) as caught:
        parse_settings(GOOD.replace(entry["old"], entry["new"], 1), "handler.yml")
    assert str(caught.value) == f"handler.yml:{entry['error']}"


def test_a_text_that_is_not_yaml_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"handler.yml:2: not YAML: "):
        parse_settings("prometheus: [\n}", "handler.yml")


def test_mode_react_needs_authentication_where_others_can_reach_it() -> None:
    settings = parse_settings(GOOD, "handler.yml")
    require_safe_exposure(settings, [":10879"], authenticates=True)
    require_safe_exposure(settings, [], authenticates=False)
    with pytest.raises(ConfigError) as caught:
        require_safe_exposure(settings, [":10879"], authenticates=False)
    assert "target router has mode react, but :10879 is open to the network" in str(caught.value)
    assert "bearer_token_file" in caught.value.hint
    observing = parse_settings(GOOD.replace("mode: react", "mode: observe"), "handler.yml")
    require_safe_exposure(observing, [":10879"], authenticates=False)


def test_a_duration_of_a_tolerance_may_be_zero() -> None:
    text = GOOD.replace("window: 45s", "tolerance: 0s")
    assert parse_settings(text, "x").targets[0].verification.tolerance == Seconds(0.0)
