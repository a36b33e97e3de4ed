"""`mlcanary doctor`: recognise a log, say what is missing, write the configuration; probe the chain to the handler."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import click
import msgspec
import yaml

from mlcanary import bundle
from mlcanary.catalog import Task
from mlcanary.cli.options import PATH
from mlcanary.doctor.asking import Asker, token_of
from mlcanary.doctor.chain import ChainPlan, checked_url, links
from mlcanary.doctor.diagnosis import Diagnosis, diagnose, diagnose_configured
from mlcanary.doctor.links import Link
from mlcanary.doctor.report import as_json, as_text, clean
from mlcanary.doctor.sample import SampleLimits, take_sample
from mlcanary.errors import ConfigError
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.registry import FORMATS
from mlcanary.settings import Flags, load_settings
from mlcanary.source_settings import OriginKind

_TASKS = click.Choice([task.value for task in Task])
_DEFAULTS = ChainPlan()
Command = Callable[..., None]


def _log_options(command: Command) -> Command:
    for option in (
        click.option(
            "--model.task", "task", type=_TASKS, help="Task of the models.  [default: that of the answers' look]"
        ),
        click.option("--model.version", "version", help="Version of records that name none."),
        click.option("--model.name", "model", help="Model of records that name none."),
        click.option(
            "--log.lines", "lines", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="How many."
        ),
        click.option(
            "--log.record-format", "record_format", type=click.Choice(FORMATS), help="Read it in this format."
        ),
        click.option(
            "--config.file", "config_file", type=PATH, help="Look at the sources of this configuration instead."
        ),
        click.option("--log.path", "log_path", multiple=True, metavar="FILE", help="File, glob, directory, or -."),
    ):
        command = option(command)
    return command


def _chain_options(command: Command) -> Command:
    for option in (
        click.option(
            "--send-test-alert", is_flag=True, help="Send an alert on the watchdog's route; nobody acts on it."
        ),
        click.option("--ca.file", "ca_file", type=PATH, help="Authority of the servers that speak TLS, PEM."),
        click.option("--handler.token-file", "handler_token", type=PATH, help="The handler's bearer token."),
        click.option("--exporter.token-file", "exporter_token", type=PATH, help="The exporter's bearer token."),
        click.option("--judge.url", "judge", default="", help="The judge, such as http://127.0.0.1:10878."),
        click.option("--handler.url", "handler", default=_DEFAULTS.handler, show_default=True, help="The handler."),
        click.option(
            "--alertmanager.url", "alertmanager", default=_DEFAULTS.alertmanager, show_default=True, help="Its address."
        ),
        click.option(
            "--prometheus.url", "prometheus", default=_DEFAULTS.prometheus, show_default=True, help="Its address."
        ),
        click.option("--exporter.url", "exporter", default=_DEFAULTS.exporter, show_default=True, help="An exporter."),
        click.option("--chain", is_flag=True, help="Probe every link from the exporter to the handler."),
    ):
        command = option(command)
    return command


@click.command("doctor")
@_log_options
@_chain_options
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Form.")
def command(
    log_path: tuple[str, ...],
    record_format: str | None,
    config_file: Path | None,
    lines: int,
    model: str | None,
    version: str | None,
    task: str | None,
    chain: bool,
    exporter: str,
    prometheus: str,
    alertmanager: str,
    handler: str,
    judge: str,
    exporter_token: Path | None,
    handler_token: Path | None,
    ca_file: Path | None,
    send_test_alert: bool,
    output: str,
) -> None:
    """Say what a log holds and how to read it; or with --chain, where the way to the handler is broken.

    Tries every format on the first lines, shows what was understood, what is missing and what that costs, and the
    configuration to paste. With --config.file it reads the sources as they are configured. Changes nothing.

    Exit status 0: fine; 1: something is missing without which there are no figures, or a link is broken; 2: cannot be
    read.
    """
    if bool(log_path) + (config_file is not None) + (chain or send_test_alert) != 1:
        raise ConfigError("doctor looks at one thing", hint="give --log.path FILE, --config.file FILE, or --chain")
    if config_file is not None:
        found = _configured(config_file, SampleLimits(lines))
        click.echo(as_json(found) if output == "json" else as_text(found), nl=output == "json")
        sys.exit(found.exit_code)
    if log_path:
        known = FormatOptions(model=model or "default", version=version or FormatOptions().version)
        samples = [take_sample(path, SampleLimits(lines), sys.stdin.buffer) for path in log_path]
        found = diagnose(samples, time.time(), known, forced=record_format, task=Task(task) if task else None)
        click.echo(as_json(found) if output == "json" else as_text(found), nl=output == "json")
        sys.exit(found.exit_code)
    try:
        plan = ChainPlan(
            checked_url("--exporter.url", exporter),
            checked_url("--prometheus.url", prometheus),
            checked_url("--alertmanager.url", alertmanager),
            checked_url("--handler.url", handler),
            checked_url("--judge.url", judge),
            token_of(handler_token),
            token_of(exporter_token),
            bundle.root() / "rules",
            send_test_alert,
            yaml.safe_load((bundle.root() / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8")),
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
    told = asyncio.run(_probe(plan, ca_file, as_lines=output == "text"))
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    sys.exit(0 if all(link.sound for link in told) else 1)


def _configured(path: Path, limits: SampleLimits) -> Diagnosis:
    """The files of a configuration, as it reads them. Raises ConfigError, InputError."""
    settings = load_settings(Flags(config_file=path))
    origins = [origin for origin in settings.origins if origin.kind is OriginKind.FILES]
    if not origins:
        raise ConfigError(f"{path}: no source that reads files", hint="add `sources:` with a `path`")
    tasks = {plan.task for plan in settings.plan.models.values()} or {settings.plan.default.task}
    sources = [(take_sample(origin.name, limits, sys.stdin.buffer), origin.format) for origin in origins]
    return diagnose_configured(sources, time.time(), tasks.pop() if len(tasks) == 1 else None)


async def _probe(plan: ChainPlan, ca_file: Path | None, *, as_lines: bool) -> list[Link]:
    """Every link, told as it is found."""
    told = []
    async with aiohttp.ClientSession(trust_env=False) as session:
        async for link in links(plan, Asker(session, ca_file)):
            told.append(link)
            if as_lines:
                click.echo(clean(f"{'ok' if link.sound else 'PROBLEM':<8} {link.name}: {link.what}"))
                if link.remedy:
                    click.echo(clean(f"         do: {link.remedy}"))
    return told
