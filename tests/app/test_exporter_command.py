"""The exporter as an operator meets it: one flag to start, reload, TLS, a visible model server."""

from __future__ import annotations

import base64
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import bcrypt
import pytest

from exporter_process import ExporterProcess, total
from prediction_log import PredictionLog


@pytest.fixture
def log(tmp_path: Path) -> Path:
    made = PredictionLog(5)
    lines: list[str] = []
    for i in range(2000):
        ts = time.time() - 60 + i * 0.01
        row_id, actual, _, line = made.prediction(ts, "v2" if i % 10 == 0 else "v1")
        lines += [line, made.label(row_id, ts + 1, actual)]
    path = tmp_path / "predictions.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def measured(page: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> bool:
    return total(page, "mlcanary_labeled_predictions_total") == 2000


def test_a_log_path_alone_gives_quality_of_every_version(tmp_path: Path, log: Path) -> None:
    with ExporterProcess("--log.path", str(log), log=tmp_path / "exporter.log") as exporter:
        page = exporter.wait_for(measured)
        names = {name for name, _ in page}
        assert total(page, "mlcanary_predictions_total", version="v1") == 1800
        assert total(page, "mlcanary_predictions_total", version="v2") == 200
        assert {"mlcanary_window_accuracy_ratio", "mlcanary_window_auc_ratio", "mlcanary_window_log_loss_nats"} <= names
        assert {"mlcanary_feature_missing_total", "process_resident_memory_bytes"} <= names
        assert "m</td><td>v2" in exporter.get("/")
        assert exporter.get("/-/healthy") == "healthy\n"
        assert exporter.get("/-/ready") == "ready\n"


def test_the_model_servers_process_is_shown_while_it_can_be_seen(tmp_path: Path, log: Path) -> None:
    pid_file = tmp_path / "server.pid"
    pid_file.write_text(f"{os.getpid()}\n")
    flags = ["--log.path", str(log), "--process.pid", str(pid_file)]
    with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
        page = exporter.wait_for(measured)
        assert total(page, "mlcanary_model_server_process_resident_memory_bytes") > 1e6
        assert total(page, "mlcanary_model_server_process_cpu_seconds_total") > 0


def test_a_hangup_loads_the_configuration_and_a_broken_one_changes_nothing(tmp_path: Path, log: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text(f"sources: [{{path: {log}}}]\nmodels: [{{name: m, roles: {{v1: baseline}}}}]\n")
    flags = ["--config.file", str(config), "--publish.interval", "100ms"]
    with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
        before = exporter.wait_for(measured)
        assert total(before, "mlcanary_model_info", version="v2", role="unassigned") == 1
        config.write_text(f"sources: [{{path: {log}}}]\nmodels: [{{name: m, roles: {{v1: baseline, v2: canary}}}}]\n")
        os.kill(exporter.pid, signal.SIGHUP)
        after = exporter.wait_for(lambda page: total(page, "mlcanary_model_info", version="v2", role="canary") == 1)
        assert total(after, "mlcanary_model_info", version="v2", role="canary") == 1
        assert measured(after)
        config.write_text("models: [{name: m, rolls: {}}]\n")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(f"http://{exporter.address}/-/reload", method="POST"), timeout=10
            )
        with refused.value:
            text = refused.value.read().decode()
        assert text.startswith(f"{config}:1: models.0.rolls: found an unknown key (did you mean roles?)")
        page = exporter.wait_for(lambda page: total(page, "mlcanary_config_last_reload_successful") == 0)
        assert total(page, "mlcanary_config_last_reload_successful") == 0
        assert total(page, "mlcanary_model_info", version="v2", role="canary") == 1


def test_tls_and_basic_authentication_come_from_the_web_configuration(tmp_path: Path, log: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    request += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*request, "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    hashed = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(
        f"tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}\nbasic_auth_users: {{prometheus: '{hashed}'}}\n"
    )
    flags = ["--log.path", str(log), "--web.config.file", str(web)]
    trust = ssl.create_default_context(cafile=str(certificate))
    with ExporterProcess(*flags, log=tmp_path / "exporter.log") as exporter:
        url = f"https://{exporter.address}/metrics"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=10, context=trust)
        with refused.value:
            assert refused.value.code == 401
        credentials = base64.b64encode(b"prometheus:open sesame").decode()
        asked = urllib.request.Request(url, headers={"Authorization": f"Basic {credentials}"})
        with urllib.request.urlopen(asked, timeout=10, context=trust) as answer:
            assert answer.status == 200


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlcanary", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_config_check_says_what_is_valid_and_what_is_left_to_do(tmp_path: Path) -> None:
    config = tmp_path / "exporter.yml"
    config.write_text("sources: [{path: a.jsonl}]\nmodels: [{name: m, roles: {v1: baseline}}]\n")
    result = run("exporter", "--config.check", "--config.file", str(config))
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == "configuration is valid: 1 source(s), 1 model(s)"
    assert "warning: m: no reference profile" in result.stdout


def test_mistakes_end_in_one_line_a_hint_and_status_2(tmp_path: Path) -> None:
    nothing = run("exporter")
    assert (nothing.returncode, nothing.stderr) == (
        2,
        "mlcanary: no log to read\n  hint: give --log.path FILE, or --push, or `sources:` in the configuration file\n",
    )
    taken = run("exporter", "--log.path", "x", "--process.pid", "nobody")
    assert taken.returncode == 2
    assert taken.stderr.startswith("mlcanary: --process.pid: found 'nobody'; allowed: a PID, or a file that holds one")


def test_the_command_loads_nothing_that_was_not_asked_for() -> None:
    unwanted = ("prometheus_client", "psutil", "scipy", "pandas", "sklearn", "pyarrow", "requests")
    code = f"import sys, mlcanary.cli.exporter; print([name for name in {unwanted} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
