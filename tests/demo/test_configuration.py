"""The files that a run of the demo is started with, judged by the programs that read them."""

from __future__ import annotations

import filecmp
import subprocess
from pathlib import Path

import pytest
import yaml

from mlcanary import bundle
from mlcanary.catalog import Family
from mlcanary.demo.configuration import HANDLER_PORT, SCRAPE_INTERVAL, WEIGHTS, Ports, Run, executable
from mlcanary.demo.dataset import BASELINE, CANARY, MODEL
from mlcanary.demo.stack import DemoError, free_ports
from mlcanary.handler.settings import load_settings
from mlcanary.judge.settings import load_settings as load_judge_settings
from mlcanary.webserver.config import WebConfigFile


@pytest.fixture
def run(tmp_path: Path) -> Run:
    p = free_ports(9)
    ports = Ports(
        models={BASELINE: p[0], CANARY: p[1]},
        exporters={BASELINE: p[2], CANARY: p[3]},
        proxy=p[4],
        proxy_metrics=p[5],
        prometheus=p[6],
        alertmanager=p[7],
        judge=p[8],
    )
    run = Run(tmp_path, ports)
    run.write()
    return run


def output_of(*argv: str, environment: dict[str, str] | None = None) -> str:
    """What a program printed; a status other than 0 fails the test with it."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_haproxy_accepts_the_template_without_a_warning(run: Run) -> None:
    component = run.haproxy()
    printed = output_of(*component.argv, "-c", environment=dict(component.environment))
    assert "WARNING" not in printed


def test_prometheus_accepts_its_configuration_and_every_shipped_rule_file(run: Run) -> None:
    printed = output_of("promtool", "check", "config", str(run.directory / "prometheus.yml"))
    shipped = list((bundle.root() / "rules").glob("*.yml"))
    assert shipped
    assert f"SUCCESS: {len(shipped)} rule files found" in printed
    assert all(f"Checking {run.directory / 'rules' / path.name}" in printed for path in shipped)


def test_alertmanager_accepts_the_shipped_configuration_beside_the_token(run: Run) -> None:
    output_of("amtool", "check-config", str(run.directory / "alertmanager" / "alertmanager.yml"))


def test_rules_and_alertmanager_configuration_are_the_shipped_ones(run: Run) -> None:
    for folder in ("rules", "alertmanager"):
        names = [path.name for path in (bundle.root() / folder).glob("*.yml")]
        same, _, _ = filecmp.cmpfiles(bundle.root() / folder, run.directory / folder, names, shallow=False)
        assert sorted(same) == sorted(names) != []


def test_the_shipped_alertmanager_configuration_calls_the_port_that_the_demo_gives_the_handler(run: Run) -> None:
    document = yaml.safe_load((bundle.root() / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    clients = [webhook for receiver in document["receivers"] for webhook in receiver.get("webhook_configs", ())]
    assert clients
    for client in clients:
        assert client["url"].startswith(f"http://127.0.0.1:{HANDLER_PORT}/")
        credentials = client["http_config"]["authorization"]["credentials_file"]
        assert (run.directory / "alertmanager" / credentials).samefile(run.token)


def test_the_handler_accepts_its_configuration_and_may_act_on_the_router(run: Run) -> None:
    (target,) = load_settings(run.directory / "handler.yml").targets
    assert (target.model, target.mode, target.versions) == (MODEL, "react", (BASELINE, CANARY))


def test_the_handler_asks_for_the_token_of_alertmanager(run: Run) -> None:
    loaded = WebConfigFile(run.directory / "handler-web.yml").current()
    assert loaded.token == run.token.read_text(encoding="ascii")
    assert run.token.stat().st_mode & 0o077 == 0


def test_every_scrape_target_is_a_port_of_this_run(run: Run) -> None:
    document = yaml.safe_load((run.directory / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {
        target for job in document["scrape_configs"] for static in job["static_configs"] for target in static["targets"]
    }
    ports = [*run.ports.exporters.values(), HANDLER_PORT, run.ports.judge, run.ports.proxy_metrics]
    assert targets == {f"127.0.0.1:{port}" for port in ports}


def test_the_judge_accepts_its_configuration_and_looks_at_scrapes_that_are_in(run: Run) -> None:
    settings = load_judge_settings(run.directory / "judge.yml", None)
    assert settings.prometheus.url == run.url(run.ports.prometheus)
    assert settings.interval % float(SCRAPE_INTERVAL.removesuffix("s")) == 0
    plan = settings.plan(MODEL, {})
    assert sum(plan.weights.values()) == 1
    assert Family.LATENCY not in plan.weights


def test_what_the_judge_says_keeps_its_own_labels(run: Run) -> None:
    document = yaml.safe_load((run.directory / "prometheus.yml").read_text(encoding="utf-8"))
    keeping = [job["job_name"] for job in document["scrape_configs"] if job.get("honor_labels")]
    assert keeping == ["mlcanary-judge"]


def test_only_the_canary_can_be_broken(run: Run) -> None:
    enabled = [version for version in WEIGHTS if "--faults.enable" in run.model_server(version).argv]
    assert enabled == [CANARY]


def test_a_missing_program_is_answered_with_what_to_install() -> None:
    with pytest.raises(DemoError, match="no-such-program is not installed") as caught:
        executable("no-such-program")
    assert "apt-get install" in caught.value.hint
