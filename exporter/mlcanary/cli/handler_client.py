"""`mlcanary handler COMMAND`: what a person asks of a running handler, over its API.

Exit status: 0 done, or taken where `--wait` is left out; 1 refused (the handler said no, or what was waited for ended
otherwise); 2 wrong usage or no answer; 3 taken, and nothing happens until another person approves it. Secrets come from
files only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from mlcanary.cli import handler_tables as tables
from mlcanary.cli.handler_calls import Caller, Unreachable, follow, taken, waits_for
from mlcanary.errors import ConfigError

REFUSED, UNREACHABLE, AWAITS_APPROVAL = 1, 2, 3
_DEFAULT_URL = "http://127.0.0.1:10879"
Command = Callable[..., None]
Body = Mapping[str, object]


def _asking(command: Callable[..., None]) -> Command:
    """The options of every command: where the handler is, and who asks. Gives the command a `Caller`."""

    @click.option("--url", default=_DEFAULT_URL, show_default=True, envvar="MLCANARY_HANDLER_URL", help="The handler.")
    @click.option("--token.file", "token_file", type=click.Path(path_type=Path), help="File with the bearer token.")
    @click.option("--ca.file", "ca_file", type=click.Path(path_type=Path), help="Authority of the server, PEM.")
    @functools.wraps(command)
    def wrapped(url: str, token_file: Path | None, ca_file: Path | None, **options: Any) -> None:
        try:
            command(Caller(url, token_file, ca_file), **options)
        except (Unreachable, ConfigError) as error:
            click.echo(f"mlcanary handler: {error}", err=True)
            if error.hint:
                click.echo(f"  hint: {error.hint}", err=True)
            click.get_current_context().exit(UNREACHABLE)

    return wrapped


_JSON = click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
_REASON = click.option("--reason", default="", help="Why; it stays in the audit.")
_WAIT = click.option("--wait", is_flag=True, help="Follow it until it has ended, and tell how it goes.")
_LEVEL = click.option(
    "--level", type=click.Choice(["promote", "all"]), default="all", show_default=True, help="How far."
)
_TARGET = click.option("--target", default="all", show_default=True, help="A target, or all.")


def _refused(answer: Body) -> None:
    """Say why, and end with 1."""
    click.echo(f"refused: {answer.get('error', '')}", err=True)
    if allowed := answer.get("allowed"):
        click.echo(f"  possible: {', '.join(map(str, allowed))}" if isinstance(allowed, list) else "", err=True)
    if hint := answer.get("hint"):
        click.echo(f"  hint: {hint}", err=True)
    click.get_current_context().exit(REFUSED)


def _get(caller: Caller, path: str, **query: str) -> Any:
    status, answer = caller.ask("GET", path, query=query)
    if status >= 400:
        _refused(answer)
    return answer


def _post(caller: Caller, path: str, body: Body | None = None) -> Any:
    status, answer = caller.ask("POST", path, body=body)
    if status >= 400:
        _refused(answer)
    return answer


def _show(answer: Any, as_json: bool, table: Callable[[Any], str]) -> None:
    click.echo(tables.as_json(answer) if as_json else table(answer))


@click.command("status")
@_JSON
@_asking
def _status(caller: Caller, as_json: bool) -> None:
    """Every target: weights, freeze, release, incident."""
    _show(_get(caller, "/v1/targets"), as_json, tables.targets)


@click.command("incidents")
@click.option("--target", default="", help="A target; all of them without it.")
@_JSON
@_asking
def _incidents(caller: Caller, target: str, as_json: bool) -> None:
    """Incidents, newest first."""
    _show(_get(caller, "/v1/incidents", target=target), as_json, tables.incidents)


@click.command("show")
@click.argument("incident")
@_JSON
@_asking
def _show_incident(caller: Caller, incident: str, as_json: bool) -> None:
    """One incident: timeline, proof, evidence."""
    _show(_get(caller, tables.path("v1", "incidents", incident)), as_json, tables.incident)


@click.command("audit")
@click.option("--after", default=0, show_default=True, help="Rows after this one.")
@_JSON
@_asking
def _audit(caller: Caller, after: int, as_json: bool) -> None:
    """Rows of the audit, oldest first."""
    _show(_get(caller, "/v1/audit", after=str(after)), as_json, tables.audit)


@click.command("plan")
@click.argument("order", type=click.Choice(["rollback", "promote", "submit"]))
@click.argument("target")
@click.argument("version", required=False, default="")
@_JSON
@_asking
def _plan(caller: Caller, order: str, target: str, version: str, as_json: bool) -> None:
    """What an order would do now, and its hash."""
    _show(_get(caller, "/v1/plan", order=order, target=target, version=version), as_json, tables.plan)


def _order(name: str, about: str, *, planned: bool, forced: bool = False) -> click.Command:
    """A command that gives an order. `planned`: it carries the hash of a plan, asked for and confirmed if not given."""

    def give(
        caller: Caller,
        target: str,
        version: str = "",
        plan: str = "",
        yes: bool = False,
        force: bool = False,
        reason: str = "",
        wait: bool = False,
    ) -> None:
        if planned and not plan and not force:
            found = _get(caller, "/v1/plan", order=name, target=target, version=version)
            click.echo(tables.plan(found))
            if not yes and not click.confirm("Do it?", default=False, err=True):
                click.get_current_context().exit(REFUSED)
            plan, version = found["plan"], found["version"]
        body: dict[str, object] = {"order": name, "version": version, "plan": plan, "reason": reason, "force": force}
        _given(caller, _post(caller, tables.path("v1", "targets", target, "orders"), body), wait=wait)

    wrapped = _WAIT(_REASON(_asking(give)))
    if planned:
        wrapped = click.option("--yes", is_flag=True, help="Do not ask before it is done.")(wrapped)
        wrapped = click.option("--plan", default="", help="Hash of a plan that was seen before.")(wrapped)
    if forced:
        text = "Without a plan, proof or capacity, and out of quarantine; needs --reason."
        wrapped = click.option("--force", is_flag=True, help=text)(wrapped)
    wrapped = click.argument("version", required=name == "submit", default=None if name == "submit" else "")(wrapped)
    return click.command(name, help=about)(click.argument("target")(wrapped))


def _given(caller: Caller, order: Mapping[str, Any], *, wait: bool) -> None:
    """Tell of an order that was given: whether the target's worker has taken it; with `wait`, how it ended."""
    if wait:
        ended = follow(caller, order, click.echo)
        if not ended.done:
            _refused({"error": ended.note})
        return
    found = taken(caller, order)
    if found["state"] == "pending":
        click.echo(f"order {order['id']} waits for the target's worker; --wait follows it")
        return
    if found["state"] != "done":
        _refused({"error": found["note"]})
    click.echo(f"order {order['id']}: taken" + (f", {found['note']}" if found["note"] else ""))
    if awaited := waits_for(caller, found):
        click.echo(awaited)
        click.get_current_context().exit(AWAITS_APPROVAL)


def _ruling(name: str, about: str) -> click.Command:
    """A command that approves or refuses the plan of an incident."""

    def rule(caller: Caller, incident: str, plan: str, reason: str = "", wait: bool = False) -> None:
        body = {"plan": plan, "reason": reason}
        _given(caller, _post(caller, tables.path("v1", "incidents", incident, name), body), wait=wait)

    wrapped = click.option("--plan", required=True, help="The hash that `show` tells.")(_WAIT(_REASON(_asking(rule))))
    return click.command(name, help=about)(click.argument("incident")(wrapped))


@click.command("freeze")
@_TARGET
@_LEVEL
@_REASON
@_asking
def _freeze(caller: Caller, target: str, level: str, reason: str) -> None:
    """Stop promotions, or every automatic action."""
    body = {"target": target, "level": level, "reason": reason}
    click.echo(tables.freezes(_post(caller, "/v1/freeze", body)))


@click.command("unfreeze")
@_TARGET
@_REASON
@_asking
def _unfreeze(caller: Caller, target: str, reason: str) -> None:
    """Allow it again."""
    click.echo(tables.freezes(_post(caller, "/v1/unfreeze", {"target": target, "reason": reason})))


@click.command("ack")
@click.argument("incident")
@_asking
def _acknowledge(caller: Caller, incident: str) -> None:
    """Say that you look at an incident."""
    found = _post(caller, tables.path("v1", "incidents", incident, "acknowledge"))
    click.echo(f"incident {found['id']} is seen by {found['acknowledged_by']}")


COMMANDS: tuple[click.Command, ...] = (
    _status,
    _incidents,
    _show_incident,
    _plan,
    _order("rollback", "Take the traffic of a version back now.", planned=True, forced=True),
    _order("promote", "Give the candidate of the open release all traffic now.", planned=True, forced=True),
    _order("submit", "Release a version in steps (mode drive).", planned=False),
    _order("withdraw", "Take back a release: without traffic it ends, with traffic it is rolled back.", planned=False),
    _ruling("approve", "Let the plan of an incident be carried out."),
    _ruling("refuse", "Refuse the plan of an incident."),
    _freeze,
    _unfreeze,
    _acknowledge,
    _audit,
)
"""Every command, in the order of the help."""
