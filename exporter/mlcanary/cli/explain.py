"""`mlcanary explain`: judge the steps of a decision record again and say whether the same comes out.

With --verify: check the audit of a handler's ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import click
import msgspec

from mlcanary import __version__
from mlcanary.cli.ledger import verify_ledger
from mlcanary.errors import ConfigError, InputError
from mlcanary.judge.contract import Assessment, CanaryKey, FeatureAssessment, Plan, Step
from mlcanary.judge.publish.figures import NOTHING, count, figure, interval, log_evidence, named, signed, when
from mlcanary.judge.records import Explanation, Record, explain, read_record

_SECONDS = 30.0
_FEATURES = 10
_HOW_TO_READ = (
    "worse by: above 0 the canary is worse, also where more is better; blocks of the same time are compared, so it is "
    "not the difference of both columns",
    "recall, precision, jaccard: of the named class, the one with most evidence",
    "log E: natural logarithm of the e-value, 4.61 is 100; not worse: the same for the promotion, which asks for {}",
)


@click.command("explain")
@click.argument("what", nargs=-1, required=True, metavar="RECORD | MODEL VERSION | LEDGER")
@click.option("--url", help="Judge to ask for the newest record of MODEL VERSION, such as http://judge:10878.")
@click.option("--verify", is_flag=True, help="Check the audit of a handler's LEDGER (its --state.path) instead.")
@click.option("--last-hash", default="", help="With --verify: a hash from the handler's log that must be in the audit.")
@click.option(
    "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Form of the answer."
)
def command(what: tuple[str, ...], url: str | None, verify: bool, last_hash: str, output: str) -> None:
    """Recompute a decision from its record: a file, - for standard input, or with --url a model and a version.

    Prints what was decided, when, why, and the evidence. Exit status 1 if judging the steps again does not give
    the same bits, 2 if the record is broken or was changed.

    With --verify the ledger of a handler is checked, also while the handler runs: whether its audit is unbroken and
    says the same as its tables. Exit status 1 if not.
    """
    if verify:
        verify_ledger(what, url, last_hash, output)
        return
    record = read_record(_fetched(url, what) if url else _file(what))
    found = explain(record, _fold)
    if output == "json":
        click.echo(_json(record, found))
    else:
        click.echo("\n".join(_told(record, found)))
    if not found.equal:
        sys.exit(1)


def _fold(key: CanaryKey, plan: Plan, steps: Sequence[Step]) -> Assessment:
    try:
        from mlcanary.judge.canary import fold  # noqa: PLC0415 - scipy belongs to the judge's extra
    except ModuleNotFoundError as error:
        raise ConfigError(f"explain needs {error.name}", hint="pip install 'mlcanary[judge]'") from error
    return fold(key, plan, steps)


def _file(what: Sequence[str]) -> bytes:
    if len(what) != 1:
        raise click.UsageError("give one record, or --url with MODEL VERSION")
    if what[0] == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(what[0]).read_bytes()
    except OSError as error:
        raise ConfigError(f"{what[0]}: cannot be read: {error}") from error


def _fetched(url: str, what: Sequence[str]) -> bytes:
    if len(what) != 2:
        raise click.UsageError("--url needs MODEL VERSION")
    try:
        import requests  # noqa: PLC0415 - belongs to the judge's extra
    except ModuleNotFoundError as error:
        raise ConfigError("--url needs requests", hint="pip install 'mlcanary[judge]'") from error
    address = f"{url.rstrip('/')}/v1/record/{quote(what[0], safe='')}/{quote(what[1], safe='')}"
    try:
        answer = requests.get(address, timeout=_SECONDS)
    except requests.RequestException as error:
        raise InputError(f"{address}: {error}", hint="is the judge running?") from error
    if not answer.ok:
        raise InputError(f"{address}: status {answer.status_code}: {answer.text.strip()[:500]}")
    return answer.content


def _json(record: Record, found: Explanation) -> str:
    document = {
        "equal": found.equal,
        "differences": found.differences,
        "mlcanary": {"recorded": record.mlcanary, "recomputed": __version__},
        "steps": len(record.steps),
        "hash": record.hash,
        "previous": record.previous,
        "recorded": record.assessment,
        "recomputed": found.recomputed,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()


def _told(record: Record, found: Explanation) -> Iterator[str]:
    said, key = record.assessment, record.key
    place = " / ".join(filter(None, (key.cluster, key.namespace)))
    yield f"{key.model}: {key.version} against {key.baseline}{f' in {place}' if place else ''}"
    yield f"verdict    {said.verdict} ({said.reason}) since {when(said.since)}"
    yield f"why        {said.text}"
    yield f"judged     {when(key.start)} to {when(said.judged)}"
    yield f"record     {record.hash[:16]}, mlcanary {record.mlcanary}"
    yield from (f"held by    {gate.gate}: {gate.why}" for gate in said.gates)
    yield from evidence(said)
    yield ""
    if found.equal:
        yield f"recomputed from {len(record.steps):,} steps: equal, bit for bit"
        return
    yield f"recomputed from {len(record.steps):,} steps: NOT EQUAL"
    yield from (f"  {difference}" for difference in found.differences)
    if record.mlcanary != __version__:
        yield f"  decided by mlcanary {record.mlcanary}, recomputed by {__version__}: try that version"


def evidence(said: Assessment) -> Iterator[str]:
    """Tables of the evidence by family, measure and feature, each after an empty line."""
    if said.families:
        rows = [(f.name, log_evidence(f.log_e), log_evidence(f.threshold)) for f in said.families]
        yield from columns(("family", "log E", "rolls back at"), rows)
    if said.measures:
        measures = [
            (
                *(named(m), figure(m, m.canary), figure(m, m.baseline), signed(m, m.difference), interval(m)),
                *(count(m.trials_canary), count(m.trials_baseline), log_evidence(m.log_e)),
                log_evidence(m.log_e_noninferior),
            )
            for m in sorted(said.measures, key=lambda m: -m.log_e)
        ]
        headings = ("measure", "canary", "baseline", "worse by", "interval", "canary n", "baseline n", "log E")
        yield from columns((*headings, "not worse"), measures)
        yield from (line.format(log_evidence(said.promote_threshold)) for line in _HOW_TO_READ)
    if said.features:
        yield from _features(said.features)


def _features(found: Sequence[FeatureAssessment]) -> Iterator[str]:
    """Those with evidence, and how many more there are."""
    shown = sorted((f for f in found if f.log_e > 0), key=lambda f: -f.log_e)[:_FEATURES]
    rows = [
        (
            *(f.name, log_evidence(f.log_e), f.cell or NOTHING, f"{f.canary:.1%}", f"{f.baseline:.1%}"),
            "guilty" if f.guilty else "",
        )
        for f in shown
    ]
    if rows:
        yield from columns(("feature", "log E", "differs most in", "canary", "baseline", ""), rows)
    else:
        yield ""
    if left := len(found) - len(shown):
        less = "less" if len(shown) == _FEATURES else "no"
        yield f"{left} {'more ' * bool(rows)}feature{'s' * (left > 1)} with {less} evidence"


def columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """An empty line and a table: names stand left, the rest right."""
    table = [headings, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(headings))]
    yield ""
    for row in table:
        first, *rest = (
            text.rjust(width) if i else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *rest)).rstrip()
