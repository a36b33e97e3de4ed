"""The files that a run of the demo is started with, judged by the programs that read them."""

from __future__ import annotations

import filecmp
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from mlcanary import bundle
from mlcanary.catalog import Family
from mlcanary.demo.casts import RELEASE, ROLLBACK, STEP_TRIALS, STEPS, Cast
from mlcanary.demo.configuration import HANDLER_PORT, SCRAPE_INTERVAL, Ports, Run
from mlcanary.demo.dataset import BASELINE, CANARY, MODEL, NEXT, model_file
from mlcanary.demo.processes import Processes, executable
from mlcanary.demo.stack import DemoError, free_ports
from mlcanary.handler.settings import load_settings
from mlcanary.judge.settings import load_settings as load_judge_settings
from mlcanary.webserver.config import WebConfigFile


def written(directory: Path, cast: Cast) -> Run:
    """A run with its files; the models are only bytes."""
    versions = tuple(cast.weights)
    p = free_ports(2 * len(versions) + 5)
    ports = Ports(
        models=dict(zip(versions, p[5:], strict=False)),
        exporters=dict(zip(versions, p[5 + len(versions) :], strict=True)),
        proxy=p[0],
        proxy_metrics=p[1],
        prometheus=p[2],
        alertmanager=p[3],
        judge=p[4],
    )
    run = Run(directory, ports, cast)
    run.models.mkdir()
    for version in versions:
        model_file(run.models, version).write_text(version, encoding="utf-8")
    run.write()
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return written(tmp_path, ROLLBACK)


@pytest.fixture
def release(tmp_path: Path) -> Run:
    return written(tmp_path, RELEASE)


def output_of(*argv: str, environment: dict[str, str] | None = None) -> str:
    """What a program printed; a status other than 0 fails the test with it."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("cast", [ROLLBACK, RELEASE])
def test_haproxy_accepts_the_template_without_a_warning(tmp_path: Path, cast: Cast) -> None:
    component = Processes(written(tmp_path, cast)).haproxy()
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
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    (sidecars,) = jobs.pop("mlcanary-exporter")["file_sd_configs"]
    (found,) = json.loads((run.directory / sidecars["files"][0]).read_text(encoding="utf-8"))
    assert found["targets"] == [f"127.0.0.1:{port}" for port in run.ports.exporters.values()]
    targets = {target for job in jobs.values() for static in job["static_configs"] for target in static["targets"]}
    ports = [HANDLER_PORT, run.ports.judge, run.ports.proxy_metrics]
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


@pytest.mark.parametrize(("cast", "breakable"), [(ROLLBACK, CANARY), (RELEASE, NEXT)])
def test_only_one_version_can_be_broken(tmp_path: Path, cast: Cast, breakable: str) -> None:
    processes = Processes(written(tmp_path, cast))
    enabled = [version for version in cast.weights if "--faults.enable" in processes.model_server(version).argv]
    assert enabled == [breakable]


def test_a_release_begins_with_one_version_that_has_all_traffic_and_is_scraped(release: Run) -> None:
    assert release.cast.weights == {BASELINE: 100, CANARY: 0, NEXT: 0}
    (scraped,) = json.loads((release.directory / "exporters.json").read_text(encoding="utf-8"))
    assert scraped["targets"] == [f"127.0.0.1:{release.ports.exporters[BASELINE]}"]


def test_roles_are_given_anew_in_the_file_that_every_sidecar_reads(release: Run) -> None:
    release.profile.write_text("not read here", encoding="utf-8")
    release.write_roles({BASELINE: "unassigned", CANARY: "baseline", NEXT: "canary"})
    argv = Processes(release).exporter(NEXT).argv
    assert argv[argv.index("--config.file") + 1] == str(release.exporter_config)
    (model,) = yaml.safe_load(release.exporter_config.read_text(encoding="utf-8"))["models"]
    assert (model["name"], model["roles"]) == (
        MODEL,
        {BASELINE: "unassigned", CANARY: "baseline", NEXT: "canary"},
    )


def test_the_handler_may_drive_the_router_in_the_steps_that_are_promised(release: Run) -> None:
    (target,) = load_settings(release.directory / "handler.yml").targets
    assert (target.mode, target.versions) == ("drive", (BASELINE, CANARY, NEXT))
    assert (target.release.steps, target.release.min_trials) == (STEPS, STEP_TRIALS)
    assert len({target.digest(version) for version in target.versions}) == 3


def test_latency_only_informs_in_a_release_too(release: Run) -> None:
    plan = load_judge_settings(release.directory / "judge.yml", None).plan(MODEL, {})
    assert Family.LATENCY not in plan.weights


def test_a_missing_program_is_answered_with_what_to_install() -> None:
    with pytest.raises(DemoError, match="no-such-program is not installed") as caught:
        executable("no-such-program")
    assert "apt-get install" in caught.value.hint
