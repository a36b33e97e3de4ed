"""What people read: the shipped templates, rendered by a real Alertmanager into Slack, PagerDuty and e-mail.

The receivers are those of `receivers.example.yml`; only addresses and waits are changed.
"""

from __future__ import annotations

import datetime
import email
import json
import shutil
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlcanary.catalog import WATCHDOG_ALERT
from prometheus_tools import ROOT, alertmanager, post, wait_for

SHIPPED = ROOT / "alertmanager"
BEGAN = datetime.datetime(2026, 3, 1, 8, 30, tzinfo=datetime.UTC)
RUNBOOK = "https://example.org/runbooks#accuracy"
ALERT = {
    "labels": {
        "alertname": "MLCanaryAccuracyBelowBaseline",
        "severity": "critical",
        "action": "rollback",
        "measure": "accuracy",
        "window": "1h",
        "namespace": "shop",
        "model": "clicks <!channel> & more",
        "version": "v2",
    },
    "annotations": {
        "summary": "Canary is less accurate than its baseline.",
        "description": "Over 1h the accuracy is 81%, -4.1% against the baseline.",
        "runbook_url": RUNBOOK,
    },
    "startsAt": BEGAN.isoformat(),
}
SITE = """{{ define "mlcanary.links" }}Dashboard: https://grafana.example.org/d/{{ template "mlcanary.dashboard" . }}
Handler: https://mlcanary.example.org/{{ end }}
"""
Calls = dict[str, list[Any]]


@contextmanager
def listening() -> Iterator[tuple[int, Calls]]:
    """Everything that is posted, by path."""
    calls: Calls = {}

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            calls.setdefault(self.path, []).append(json.loads(body))
            # As they answer: newer Alertmanagers look at it.
            self.send_response(202 if self.path == "/pagerduty" else 200)
            self.end_headers()
            self.wfile.write(b"ok" if self.path == "/slack" else b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server, served(server):
        yield server.server_port, calls


@contextmanager
def mailbox() -> Iterator[tuple[int, list[Message]]]:
    """A mail server that takes every message."""
    mails: list[Message] = []

    class Session(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper().strip()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = list(iter(self.rfile.readline, b".\r\n"))
                    mails.append(email.message_from_bytes(b"".join(lines)))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server, served(server):
        yield server.server_address[1], mails


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def configured(folder: Path, port: int, mail_port: int) -> Path:
    """The shipped configuration with the receivers of the example, which call these ports, at once."""
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("secrets"))
    (folder / "templates" / "site.tmpl").write_text(SITE)
    (folder / "secrets").mkdir()
    for name, text in {
        "slack_url": f"http://127.0.0.1:{port}/slack",
        "pagerduty_key": "0123456789abcdef",
        "smtp_password": "hidden",
        "handler_token": "token",
    }.items():
        (folder / "secrets" / name).write_text(text)
    document = yaml.safe_load((folder / "alertmanager.yml").read_text())
    example = yaml.safe_load((folder / "receivers.example.yml").read_text())["receivers"]
    taken = {receiver["name"]: receiver for receiver in example}
    document["receivers"] = [taken.get(each["name"], each) for each in document["receivers"]]
    people = taken["mlcanary-people"]
    people["pagerduty_configs"][0]["url"] = f"http://127.0.0.1:{port}/pagerduty"
    people["email_configs"][0] |= {"smarthost": f"127.0.0.1:{mail_port}", "require_tls": False}
    document["route"]["group_wait"] = "0s"
    document["route"]["group_interval"] = "1s"
    text = json.dumps(document).replace("/etc/alertmanager/", f"{folder}/")
    for place in ("http://127.0.0.1:10879", "https://hooks.example.org", "https://deadmansswitch.example.org"):
        text = text.replace(place, f"http://127.0.0.1:{port}")
    configuration = folder / "alertmanager.json.yml"
    configuration.write_text(text)
    return configuration


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Calls, list[Message]]]:
    """One alert that asks for a rollback, its end, one without a model, and the watchdog."""
    folder = tmp_path_factory.mktemp("messages")
    with listening() as (port, calls), mailbox() as (mail_port, mails):
        configuration = configured(folder / "alertmanager", port, mail_port)
        with alertmanager(folder, configuration) as url:
            post(f"{url}/api/v2/alerts", [ALERT, {"labels": {"alertname": WATCHDOG_ALERT, "severity": "none"}}])
            wait_for("all receivers", lambda: {"/slack", "/pagerduty", "/alerts"} <= set(calls) and mails)
            wait_for("the switch outside", lambda: calls.get("/ping/a-secret-of-yours"))
            post(f"{url}/api/v2/alerts", [{**ALERT, "endsAt": (BEGAN + datetime.timedelta(hours=1)).isoformat()}])
            wait_for("the end", lambda: len(calls["/slack"]) > 1 and len(mails) > 1 and len(calls["/pagerduty"]) > 1)
            post(f"{url}/api/v2/alerts", [{"labels": {"alertname": "MLCanaryOfTomorrow", "target": "router"}}])
            wait_for("the third", lambda: len(calls["/slack"]) > 2)
        yield calls, mails


def test_slack_says_what_whom_how_much_since_when_and_what_is_done(told: tuple[Calls, list[Message]]) -> None:
    (attachment,) = told[0]["/slack"][0]["attachments"]
    assert attachment["title"] == (
        "[FIRING] Canary is less accurate than its baseline, model clicks <!channel> & more, version v2, namespace shop"
    )
    assert attachment["color"] == "danger"
    assert attachment["text"].splitlines()[:9] == [
        "Over 1h the accuracy is 81%, -4.1% against the baseline.",
        "",
        "*Model:* clicks &lt;!channel&gt; &amp; more",
        "*Version:* v2",
        "*Measure:* accuracy, window 1h",
        "*Since:* 2026-03-01 08:30 UTC",
        "*What is done:* The handler is asked to take the traffic of this version back. It first looks at its own "
        "evidence. Its page says what it decided and did.",
        "*Alert:* MLCanaryAccuracyBelowBaseline, severity critical",
        f"<{RUNBOOK}|Runbook>",
    ]


def test_links_of_the_site_choose_the_model_and_the_version(told: tuple[Calls, list[Message]]) -> None:
    assert (
        "Dashboard: https://grafana.example.org/d/mlcanary-release"
        "?var-model=clicks+%3C%21channel%3E+%26+more&var-version=v2\nHandler: https://mlcanary.example.org/"
    ) in plain(told[1][0])


def test_the_end_says_that_nothing_comes_back_by_itself(told: tuple[Calls, list[Message]]) -> None:
    (attachment,) = told[0]["/slack"][1]["attachments"]
    assert attachment["title"].startswith("[RESOLVED] Canary is less accurate")
    assert attachment["color"] == "good"
    assert "*Since:* 2026-03-01 08:30 UTC, until 2026-03-01 09:30 UTC" in attachment["text"]
    assert "The handler brings no traffic back to the version." in attachment["text"]


def test_pagerduty_gets_the_key_from_its_file_and_the_text(told: tuple[Calls, list[Message]]) -> None:
    fired, ended = told[0]["/pagerduty"][:2]
    assert (fired["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert fired["routing_key"] == "0123456789abcdef"
    assert fired["payload"]["severity"] == "critical"
    assert fired["payload"]["group"] == "v2"
    assert fired["payload"]["summary"].startswith("[FIRING] Canary is less accurate than its baseline, model clicks")
    assert "What is done: The handler is asked" in fired["payload"]["custom_details"]["text"]


def test_mail_is_plain_text_and_no_markup_of_a_name_is_lost(told: tuple[Calls, list[Message]]) -> None:
    mail = told[1][0]
    assert str(mail["Subject"]).startswith("[FIRING] Canary is less accurate than its baseline")
    assert [part.get_content_type() for part in mail.walk() if not part.is_multipart()] == ["text/plain"]
    assert "Model: clicks <!channel> & more\nVersion: v2\n" in plain(mail)
    assert f"Runbook: {RUNBOOK}" in plain(mail)


def test_an_alert_without_annotations_and_model_is_readable_too(told: tuple[Calls, list[Message]]) -> None:
    (attachment,) = told[0]["/slack"][2]["attachments"]
    assert attachment["title"] == "[FIRING] MLCanaryOfTomorrow, target router"
    assert attachment["text"].splitlines()[:3] == ["MLCanaryOfTomorrow", "", "*Target:* router"]
    assert "*What is done:* Nothing by itself. A person looks." in attachment["text"]
    assert "<no value>" not in json.dumps(told[0]["/slack"])


def test_the_switch_outside_and_the_handler_both_hear_the_watchdog(told: tuple[Calls, list[Message]]) -> None:
    for path in ("/v1/alerts", "/ping/a-secret-of-yours"):
        heard = [call for call in told[0][path] if call["receiver"] == "mlcanary-watchdog"]
        assert heard[0]["alerts"][0]["labels"]["alertname"] == WATCHDOG_ALERT
    assert WATCHDOG_ALERT not in json.dumps(told[0]["/slack"]), "people are not told that all is well"


def test_every_secret_of_the_example_is_a_file() -> None:
    example: list[Mapping[str, Any]] = yaml.safe_load((SHIPPED / "receivers.example.yml").read_text())["receivers"]
    keys = {key for receiver in example for kind in receiver.values() if isinstance(kind, list) for key in kind[0]}
    assert {"api_url_file", "routing_key_file", "auth_password_file"} <= keys
    assert not {"api_url", "routing_key", "auth_password"} & keys


def plain(mail: Message) -> str:
    """The text of a mail."""
    (part,) = (part for part in mail.walk() if part.get_content_type() == "text/plain")
    decoded = part.get_payload(decode=True)
    assert isinstance(decoded, bytes)
    return decoded.decode().replace("\r\n", "\n")
