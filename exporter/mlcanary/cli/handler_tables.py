"""Answers of the handler as tables for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

Row = Mapping[str, Any]
NOTHING = "-"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; nothing at the end of a line.

    >>> print(table(("a", "bc"), [("xyz", "1")]))
    A    BC
    xyz  1
    """
    lines = [[h.upper() for h in headings], *([_line(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _line(text: str) -> str:
    """One line without control characters: what others wrote must not steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in text) or NOTHING


def path(*parts: str) -> str:
    """A path; every part is quoted."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


def as_json(answer: Any) -> str:
    """JSON for programs."""
    return msgspec.json.format(msgspec.json.encode(answer), indent=2).decode()


def when(at: float) -> str:
    """Unix seconds as a date."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else NOTHING


def targets(answer: Row) -> str:
    """Every target on a line."""
    rows = [
        (t["name"], t["model"], t["mode"], _weights(t), t["freeze"], _release(t["release"]), _incident(t))
        for t in answer["targets"]
    ]
    return table(("target", "model", "mode", "weights", "freeze", "release", "incident"), rows)


def _weights(target: Row) -> str:
    if not target["observed"]:
        return "unknown"
    known = [(v["version"], v["share"]) for v in target["versions"]]
    return ", ".join(f"{version} {'?' if share is None else f'{100 * share:.3g}%'}" for version, share in known)


def _release(release: Row | None) -> str:
    if release is None or not release["open"]:
        return NOTHING
    step = f" at {release['steps'][release['step']]}%" if 0 <= release["step"] < len(release["steps"]) else ""
    return f"{release['candidate']}: {release['state']}{step}"


def _incident(target: Row) -> str:
    """The newest incident; where the mode only observes, what it would have done."""
    incident, decision = target["incident"], target.get("decision")
    if decision is not None and decision["dry_run"] and target["mode"] == "observe":
        return f"dry run: {decision['version']} -> {decision['destination']}, {when(decision['at'])}"
    if incident is None:
        return NOTHING
    missing = f", {_missing(target)}" if target.get("approvals_missing") else ""  # an older handler does not tell
    return f"{incident['id']} {incident['bad']} -> {incident['good']}: {incident['state']}{missing}"


def _missing(answer: Row) -> str:
    """How many people have still to approve, and who may."""
    return f"{answer['approvals_missing']} approval is missing, may approve: {_who(answer)}"


def _who(answer: Row) -> str:
    names = ", ".join(map(_line, answer["approvers"]))
    return names or "nobody: no principal of the web configuration has the scope approve"


def decisions(answer: Row) -> str:
    """Decisions that changed nothing, one on a line."""
    if not answer["decisions"]:
        return "no decision without effect in the last week"
    rows = [
        (
            when(d["at"]),
            d["target"],
            d["version"],
            d["measure"],
            "dry run" if d["dry_run"] else d["decision"],
            d["text"],
        )
        for d in answer["decisions"]
    ]
    return table(("time", "target", "version", "because of", "decision", "what"), rows)


def incidents(answer: Row) -> str:
    """Incidents, one on a line."""
    rows = [
        (i["id"], i["target"], f"{i['bad']} -> {i['good']}", i["state"], when(i["opened"]), i["plan"], i["note"])
        for i in answer["incidents"]
    ]
    return table(("incident", "target", "traffic", "state", "opened", "plan", "note"), rows)


def incident(answer: Row) -> str:
    """One incident."""
    found, proof = answer["incident"], answer["verification"]
    facts = {
        "incident": found["id"],
        "target": found["target"],
        "traffic": f"{found['bad']} -> {found['good']}",
        "state": found["state"],
        "asked by": found["actor"],
        "plan": found["plan"],
        "expires": when(found["expires"]) if found["expires"] else "",
        "approved": "; ".join(f"by {each['actor']}, {when(each['at'])}" for each in answer.get("approvals", ())),
        "approval": _missing(answer) if answer.get("approvals_missing") else "",
        "seen by": found["acknowledged_by"] or "nobody",
        "proof": f"{proof['passed']} of {proof['windows']} windows: {proof['note']}" if proof else "",
        "note": found["note"],
    }
    lines = [f"{name + ':':<10} {_line(value)}" for name, value in facts.items() if value]
    rows = [(when(e["at"]), e["what"], e["actor"], e["note"]) for e in answer["timeline"]]
    lines += ["", table(("time", "what", "by", "note"), rows)]
    if answer["evidence"]:
        lines += ["", "evidence at the decision"]
        lines += [f"  {name}: {_line(_value(value))}" for name, value in answer["evidence"].items()]
    return "\n".join(lines)


def waiting(answer: Row) -> str:
    """What an incident that waits for a person waits for: who may approve it, with which command, until when."""
    found = answer["incident"]
    order = f"{_line(found['id'])} --plan {_line(found['plan'])}"
    return "\n".join(
        (
            f"waits for approval until {when(found['expires'])}; the version keeps its traffic until then",
            f"  may approve: {_who(answer)}",
            f"  approve:     mlcanary handler approve {order} --wait",
            f"  refuse:      mlcanary handler refuse {order}",
        )
    )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def plan(answer: Row) -> str:
    """What an order would do."""
    return f"{_line(answer['text'])}\nplan {answer['plan']}"


def freezes(answer: Row) -> str:
    """What is frozen."""
    if not answer["freezes"]:
        return "nothing is frozen"
    rows = [(f["scope"], f["level"], f["actor"], when(f["since"]), f["reason"]) for f in answer["freezes"]]
    return table(("scope", "level", "by", "since", "why"), rows)


def audit(answer: Row) -> str:
    """Rows of the audit."""
    rows = [
        (str(r["id"]), when(r["at"]), r["actor"], r["kind"], r["target"], r["hash"][:12], _value(r["body"]))
        for r in answer["rows"]
    ]
    return table(("row", "time", "by", "kind", "target", "hash", "what"), rows)
