"""The handler's page: names and labels of the catalogue, everything there from the start."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from handler_world import configuration
from mlcanary.catalog import CATALOG, Group
from mlcanary.handler.core.policy import Reason
from mlcanary.handler.metrics import HandlerMetrics
from mlcanary.handler.settings import parse_settings
from prometheus_tools import program, run

LINK = "{type: file, path: /srv/current, values: {v1: a, v2: b}}"


def metrics() -> HandlerMetrics:
    found = HandlerMetrics()
    found.introduce(parse_settings(configuration("http://127.0.0.1:1", LINK), "x").targets[0])
    return found


def test_the_page_holds_the_catalogues_families_and_no_other() -> None:
    rows = {row.name: row for row in CATALOG if row.group is Group.HANDLER}
    for family in text_string_to_metric_families(metrics().render().decode()):
        row = rows[f"{family.name}_total" if family.type == "counter" else family.name]
        assert (family.type, family.documentation) == (str(row.kind), row.help)
        assert all(tuple(sorted(sample.labels)) == tuple(sorted(row.labels)) for sample in family.samples)
        assert not any(sample.name.endswith("_created") for sample in family.samples)


def test_every_known_label_set_starts_at_zero() -> None:
    page = metrics().render().decode()
    for reason in Reason:
        assert f'mlcanary_decisions_total{{decision="suppress",reason="{reason}",target="router"}} 0.0' in page
    for outcome in ("resolved", "ineffective", "stuck", "failed", "dry_run"):
        assert f'mlcanary_rollbacks_total{{model="clicks",outcome="{outcome}",target="router"}} 0.0' in page
    assert 'mlcanary_webhook_requests_total{code="202"} 0.0' in page


def test_a_name_or_labels_that_the_catalogue_lacks_are_refused() -> None:
    with pytest.raises(KeyError):
        metrics().add("surprises_total")
    with pytest.raises(ValueError, match="is a counter with labels"):
        metrics().add("effects_total", "router")
    with pytest.raises(ValueError, match="is a counter"):
        metrics().set("effects_total", 1.0, "router", "confirmed")


def test_promtool_has_nothing_to_say(tmp_path: object) -> None:
    assert program("promtool")
    path = f"{tmp_path}/page"
    with open(path, "wb") as file:
        file.write(metrics().render())
    status, output = run("sh", "-c", f"promtool check metrics < {path}")
    assert (status, output) == (0, "")
