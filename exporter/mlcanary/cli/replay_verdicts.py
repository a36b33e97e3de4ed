"""What `mlcanary replay --judge` prints and writes: verdicts, when they would have been given, and why."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mlcanary.catalog import Verdict
from mlcanary.cli.explain import columns, evidence
from mlcanary.errors import ConfigError
from mlcanary.judge.contract import Plan
from mlcanary.judge.publish.figures import NOTHING, count, duration, log_evidence, when
from mlcanary.judge.settings import load_settings
from mlcanary.judged_replay.joint_features import JointEvidence
from mlcanary.judged_replay.run import Change, JudgedRelease, JudgedReplay, judged_replay
from mlcanary.judged_replay.timeline import Progress
from mlcanary.listing import first_of
from mlcanary.settings import ExporterSettings

_LISTED = 5
"""Features that a line names."""


def run(settings: ExporterSettings, judge_config: Path | None, now: float, progress: Progress) -> JudgedReplay:
    """Judge the logs by the judge's file, or by its defaults. Raises ConfigError and InputError."""
    return judged_replay(settings, load_settings(judge_config, None, asks=False), now, progress)


def check_directory(directory: Path) -> None:
    """Records of two replays must not lie side by side. Raises ConfigError, before the logs are read."""
    try:
        if directory.exists() and any(directory.iterdir()):
            hint = "name a directory that does not exist yet"
            raise ConfigError(f"--records {directory}: found files; allowed: a new directory", hint=hint)
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--records {directory}: {error.strerror}", hint="check the path") from error


def write_records(result: JudgedReplay, directory: Path) -> None:
    """One file per decision, in their order; each names the one before it by its hash."""
    for number, record in enumerate(result.records, start=1):
        name = re.sub(r"[^\w.-]", "_", f"{record.key.model}-{record.key.version}-{record.verdict}")
        (directory / f"{number:03d}-{name}.json").write_bytes(record.body)


def as_document(result: JudgedReplay, figures: dict[str, Any]) -> str:
    """Everything as JSON; infinite numbers are null. Input: `figures`, those of the logs without the judge."""
    document = {
        **figures,
        "judge": {
            "interval_seconds": result.interval,
            "looks": result.looks,
            "first": result.first,
            "last": result.last,
            "canaries": [_with_decision(canary) for canary in result.canaries],
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode()


def _with_decision(canary: JudgedRelease) -> dict[str, Any]:
    """The decision first: it is what is asked for."""
    own = {name: getattr(canary, name) for name in canary.__struct_fields__}
    return {"verdict": canary.assessment.verdict, "decision": canary.decision, **own}


def told(result: JudgedReplay) -> Iterator[str]:
    """Each canary for people, line by line."""
    span = f"{when(result.first)} to {when(result.last)} ({duration(result.last - result.first)})"
    yield f"judged {span}: {result.looks:,} looks, {result.interval:g} s apart"
    for canary in result.canaries:
        yield ""
        yield from _canary(canary)


def _canary(canary: JudgedRelease) -> Iterator[str]:
    key, end = canary.key, canary.assessment
    yield f"{key.model}: {key.version} against {key.baseline}"
    found = canary.decision
    if found is None:
        yield f"verdict    {end.verdict} ({end.reason}) at the end"
        if end.verdict is Verdict.NO_DATA and len(canary.changes) > 1:
            former, last = canary.changes[-2:]
            yield f"before     {former.verdict} ({former.reason}) until {when(last.at)}: {former.text}"
        yield f"after      {_spent(end.judged - key.start, canary.requests)}"
        yield f"why        {end.text}"
    else:
        yield f"verdict    {found.verdict} ({found.reason}) at {when(found.at)}, {found.hours:.2f} h after its start"
        yield f"after      {_spent(found.at - key.start, found.requests)}"
        yield f"leading    {found.leading or NOTHING}"
        yield f"why        {found.text}"
        if end.verdict is not found.verdict:
            yield f"later      {end.verdict} ({end.reason}): {end.text}"
    yield f"judged     {when(key.start)} to {when(end.judged)}{_ended(canary)}"
    yield from (f"held by    {gate.gate}: {gate.why}" for gate in end.gates)
    yield from (f"log ended  before {what}" for what in canary.missing)
    yield from (f"not used   {what}" for what in canary.unused)
    if len(canary.changes) > 1 or (found is None and canary.changes):
        rows = [_row(change) for change in canary.changes]
        yield from columns(("changes", "hours", "verdict", "reason", "leading", "canary n"), rows)
    yield from evidence(end)
    if canary.joint_features is not None:
        yield ""
        yield _joint(canary.joint_features, canary.plan)


def _spent(seconds: float, requests: tuple[float, float]) -> str:
    return f"{duration(seconds)}, {count(requests[0])} requests of the canary and {count(requests[1])} of the baseline"


def _ended(canary: JudgedRelease) -> str:
    return f", it ended then: {canary.ended}" if canary.ended else ""


def _row(change: Change) -> tuple[str, ...]:
    hours, requests = f"{change.hours:.2f}", count(change.requests[0])
    return when(change.at), hours, change.verdict, change.reason, change.leading or NOTHING, requests


def _joint(found: JointEvidence, plan: Plan) -> str:
    """The joint test in a line. It has no part of alpha, so there is no threshold, only what alpha alone would ask."""
    auc = NOTHING if found.auc is None else f"{found.auc:.3f}"
    more = f" (not looked at: {first_of(found.left_out, _LISTED)})" if found.left_out else ""
    rows = f"{found.rows_canary:,} and {found.rows_baseline:,} rows"
    alone = log_evidence(-math.log(plan.alpha))
    return (
        f"joint features: log E {log_evidence(found.log_e)} (alone it would need {alone}), AUC {auc}, "
        f"{len(found.features)} numeric feature{'s' * (len(found.features) != 1)}{more}, {rows}; informs only"
    )
