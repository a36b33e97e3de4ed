"""`bundle export --runbook-url`: every link leads to the page of the site, and Prometheus takes the rules."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cluster_objects import objects
from guides import guide
from mlcanary import bundle
from mlcanary.cli.bundle import command
from mlcanary.errors import ConfigError
from prometheus_tools import run

OURS = "https://wiki.example.org:8443/ml/runbooks?page=mlcanary"


def exported(folder: Path, *flags: str) -> None:
    done = CliRunner().invoke(command, ["export", str(folder), *flags])
    assert done.exit_code == 0, done.exception


def links(groups: list[dict[str, object]]) -> dict[str, str]:
    """The link of each alert."""
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]  # type: ignore[attr-defined]
    return {rule["alert"]: rule["annotations"]["runbook_url"] for rule in rules}


def test_the_links_of_all_alerts_lead_to_the_page_and_promtool_takes_the_rules(tmp_path: Path) -> None:
    exported(tmp_path, "--runbook-url", OURS)
    files = sorted((tmp_path / "rules").glob("*.yml"))
    found = {
        alert: link
        for path in files
        for alert, link in links(yaml.load(path.read_text(), yaml.CSafeLoader)["groups"]).items()
    }
    assert found == {alert: f"{OURS}#{alert.lower()}" for alert in found}
    assert {f"### {alert}" for alert in found} <= set(guide("runbooks").splitlines()), "the anchors are headings"
    status, output = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *files)
    assert (status, output.count("SUCCESS")) == (0, len(files)), output


@pytest.mark.parametrize("kind", bundle.FORMATS)
def test_no_file_of_a_format_has_the_shipped_address(kind: str) -> None:
    shipped = bundle.contents(kind)
    made = bundle.moved(shipped, OURS)
    assert made.keys() == shipped.keys()
    assert [path for path, data in made.items() if bundle.RUNBOOKS.encode() in data] == []
    if kind == "prometheus-operator":
        rules = objects(
            {path: data for path, data in made.items() if path.parts[0] == "rules" and "alerts" in path.name}
        )
        found = links([group for each in rules for group in each["spec"]["groups"]])
        assert found == {alert: f"{OURS}#{alert.lower()}" for alert in found}
        assert "MLCanaryWatchdog" in found


@pytest.mark.parametrize(
    "url", ["", "wiki/runbooks", "ftp://x/y", "https://x/y#there", 'https://x/"', "https://x/{{ 1 }}"]
)
def test_what_is_no_address_is_refused(url: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["export", str(tmp_path / "new"), "--runbook-url", url])
    assert isinstance(done.exception, ConfigError)
    assert "--runbook-url: found" in str(done.exception)
    assert not (tmp_path / "new").exists()
