"""Dockerfile and docker-compose.yml: linted, valid, and true to what they start."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlcanary.cli.main import COMMANDS
from mlcanary.demo.dataset import MODEL
from mlcanary.demo.processes import haproxy_template
from mlcanary.handler.settings import parse_settings
from mlcanary.judge.settings import parse_settings as parse_judge_settings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
BIN = Path(sys.executable).parent
ONE_SHOT = {"train", "profile"}
IDLE = {"loopback"}


def command_line(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


def compose_validators() -> dict[str, tuple[str, ...]]:
    """The schema always; Compose itself where Docker and its plugin are there."""
    schema = (str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(COMPOSE))
    validators: dict[str, tuple[str, ...]] = {"compose-spec": schema}
    if shutil.which("docker") and command_line("docker", "compose", "version").returncode == 0:
        validators["docker compose"] = ("docker", "compose", "-f", str(COMPOSE), "config", "-q")
    return validators


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = command_line(str(BIN / "hadolint"), "--no-color", str(ROOT / "Dockerfile"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("argv", [pytest.param(argv, id=name) for name, argv in compose_validators().items()])
def test_the_compose_file_is_valid(argv: tuple[str, ...]) -> None:
    done = command_line(*argv)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_mounted_file_exists(compose: dict[str, Any]) -> None:
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", ())]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [mount for mount in mounts if mount.startswith("./") and not mount.endswith(":ro")] == []


def test_every_configuration_is_a_file(compose: dict[str, Any]) -> None:
    """A read-only container takes no inline `content`: Compose copies it in, and fails."""
    assert compose["configs"]
    for name, config in compose["configs"].items():
        assert list(config) == ["file"], name
        assert (ROOT / config["file"]).is_file(), name


def test_every_named_volume_is_declared_and_used(compose: dict[str, Any]) -> None:
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", ())]
    assert {mount.split(":")[0] for mount in mounts if not mount.startswith("./")} == set(compose["volumes"])


def test_every_lasting_service_has_a_health_check_and_no_privileges(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert ("healthcheck" in service) != (name in ONE_SHOT | IDLE), name
        assert service["cap_drop"] == ["ALL"], name
        assert service["read_only"] is True, name


def test_every_port_is_published_on_loopback_only(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_foreign_image_is_pinned(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values() if "build" not in service]
    assert images
    assert [image for image in images if not re.fullmatch(r"[a-z/]+:v?\d+\.\d+(\.\d+)?(-alpine)?", image)] == []


def test_every_command_that_the_image_runs_exists(compose: dict[str, Any]) -> None:
    working = [service for name, service in compose["services"].items() if name not in IDLE]
    started = [service["command"][0] for service in working if service["image"] == "mlcanary:latest"]
    assert started
    assert set(started) <= set(COMMANDS)


def configuration(compose: dict[str, Any], name: str) -> str:
    """The text of a configuration that the compose file mounts."""
    return (ROOT / str(compose["configs"][name]["file"])).read_text(encoding="utf-8")


def test_the_handler_accepts_its_configuration(compose: dict[str, Any]) -> None:
    (target,) = parse_settings(configuration(compose, "handler"), "handler.yml").targets
    assert (target.model, target.mode, target.versions) == (MODEL, "react", ("v1", "v2"))


def test_the_handler_asks_for_the_token_that_is_mounted(compose: dict[str, Any]) -> None:
    web = yaml.safe_load(configuration(compose, "handler-web"))
    assert web == {"bearer_token_file": f"/run/secrets/{compose['services']['handler']['secrets'][0]}"}


def test_the_judge_accepts_its_configuration(compose: dict[str, Any]) -> None:
    settings = parse_judge_settings(configuration(compose, "judge"), "judge.yml")
    assert settings.prometheus.url == "http://prometheus:9090"


def test_prometheus_scrapes_services_of_the_compose_file(compose: dict[str, Any]) -> None:
    document = yaml.safe_load((ROOT / "rules" / "example" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [t for job in document["scrape_configs"] for static in job["static_configs"] for t in static["targets"]]
    hosts = {target.split(":")[0] for target in targets} - {"localhost"}
    assert hosts <= set(compose["services"])
    secrets = {job["authorization"]["credentials_file"] for job in document["scrape_configs"] if "authorization" in job}
    assert secrets == {"/run/secrets/handler_token"}


def test_alertmanager_and_handler_share_a_loopback_that_neither_takes_away(compose: dict[str, Any]) -> None:
    """A container that joined the network of another one has none when that one restarts; it still looks healthy."""
    services = compose["services"]
    names = {name for name, service in services.items() if "network_mode" in service}
    assert names == {"alertmanager", "handler"}
    assert {services[name]["network_mode"] for name in names} == {"service:loopback"}
    assert set(services["loopback"]["networks"]["default"]["aliases"]) == names


def test_every_variable_of_the_haproxy_template_is_set(compose: dict[str, Any]) -> None:
    always = re.sub(r"\.if defined.*?\.endif", "", haproxy_template().read_text(encoding="utf-8"), flags=re.DOTALL)
    wanted = set(re.findall(r'"\$\{([A-Z_]+)\}"', always))
    assert wanted == set(compose["services"]["haproxy"]["environment"])


def test_the_image_is_made_of_the_folders_that_the_wheel_needs() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert {name for line in copied for name in line.split()} == set(allowed)
    assert all((ROOT / name).exists() for name in allowed)


def test_the_compose_file_says_how_to_make_the_token(compose: dict[str, Any]) -> None:
    text = COMPOSE.read_text(encoding="utf-8")
    default = compose["secrets"]["handler_token"]["file"].removeprefix("${HANDLER_TOKEN_FILE:-").removesuffix("}")
    assert f"> {default}" in text
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert f"{Path(default).parts[0]}/" in ignored
    assert json.dumps(compose["services"]["alertmanager"]["secrets"]).count("handler_token") >= 1
