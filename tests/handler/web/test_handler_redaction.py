"""What `/config` may show, of every kind of target that the guide names."""

from __future__ import annotations

import json
import re

from guides import guide
from mlcanary.handler.settings import parse_settings
from mlcanary.handler.web.redaction import HIDDEN, shown

HEAD = "prometheus: {url: 'http://p:9090/?apikey=hunter2', bearer_token_file: /run/secrets/p}\ntargets:\n"


def test_every_kind_of_target_is_shown_as_json_without_its_secrets() -> None:
    targets = re.findall(r"^target: (\{type: .*\})$", guide("handler"), re.MULTILINE)
    assert len(targets) >= 5
    text = HEAD + "".join(f"- {{name: t{i}, model: m, target: {target}}}\n" for i, target in enumerate(targets))
    found = shown(parse_settings(text, "handler.yml"))
    written = json.dumps(found)
    assert "hunter2" not in written
    assert found["prometheus"] == {
        "url": f"http://p:9090/?{HIDDEN}",
        "timeout": 5.0,
        "bearer_token_file": "/run/secrets/p",
        "ca_file": "",
    }
    kinds = {target["kind"]["type"]: target["kind"] for target in found["targets"]}
    assert kinds["command"]["observe"] == ["/usr/local/bin/route", HIDDEN]
    assert kinds["command"]["argv"] == ["/usr/local/bin/route"]
    assert kinds["file"]["values"] == {"v1": "releases/v1", "v2": "releases/v2"}
