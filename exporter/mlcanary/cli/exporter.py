"""`mlcanary exporter`: read prediction logs, serve /metrics."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcanary.app import RunOptions, run_exporter
from mlcanary.catalog import Role, Task
from mlcanary.cli.options import DURATION, PATH, logging_options, set_up_logging, source_options, web_options
from mlcanary.errors import ConfigError
from mlcanary.settings import Flags, load_settings

if TYPE_CHECKING:
    from mlcanary.resources.server import ModelServer

log = logging.getLogger(__name__)


@click.command("exporter")
@source_options
@click.option("--push", is_flag=True, help="Take records over HTTP: POST /v1/predictions, /v1/labels, /v1/events.")
@click.option("--config.check", "config_check", is_flag=True, help="Check the configuration and exit.")
@click.option("--state.path", "state_path", type=PATH, help="State file; survives restarts.")
@click.option("--process.pid", "process_pid", metavar="PID|FILE", help="Model server to watch: a PID or a PID file.")
@click.option("--poll.interval", "poll_interval", type=DURATION, default="1s", show_default=True, help="Log polling.")
@click.option(
    "--publish.interval",
    "publish_interval",
    type=DURATION,
    default="5s",
    show_default=True,
    help="Page and checkpoint at most so often; with regular scrapes, just before each.",
)
@click.option(
    "--shutdown.delay", "shutdown_delay", type=DURATION, default="0s", show_default=True, help="Serve on after SIGTERM."
)
@web_options(":10877")
@click.option("--web.telemetry-path", "telemetry_path", default="/metrics", show_default=True, help="Path of metrics.")
@logging_options
def command(
    log_path: tuple[str, ...],
    config_file: Path | None,
    record_format: str | None,
    push: bool,
    config_check: bool,
    state_path: Path | None,
    reference_path: Path | None,
    model_name: str | None,
    model_version: str | None,
    model_role: str | None,
    model_task: str | None,
    process_pid: str | None,
    poll_interval: float,
    publish_interval: float,
    shutdown_delay: float,
    listen: tuple[str, ...],
    telemetry_path: str,
    web_config_file: Path | None,
    log_level: str,
    log_format: str,
) -> None:
    """Read prediction logs and serve their metrics to Prometheus.

    `mlcanary exporter --log.path predictions.jsonl` is enough to start: models, versions, features and classes
    are learnt from the log. Give --state.path so that a restart goes on where it stopped.
    """
    flags = Flags(
        log_path,
        config_file,
        reference_path,
        model_name,
        model_version,
        Role(model_role) if model_role else None,
        task=Task(model_task) if model_task else None,
        format=record_format,
        push=push,
    )
    if config_check:
        settings = load_settings(flags)
        for warning in settings.warnings:
            click.echo(f"warning: {warning}")
        click.echo(f"configuration is valid: {len(settings.origins)} source(s), {len(settings.plan.models)} model(s)")
        return
    _check_telemetry_path(telemetry_path)
    set_up_logging(log_level, log_format)
    options = RunOptions(
        poll_interval=poll_interval,
        publish_interval=publish_interval,
        shutdown_delay=shutdown_delay,
        listen=listen,
        telemetry_path=telemetry_path,
        web_config_file=web_config_file,
        state_path=state_path,
        server=_server(process_pid),
    )
    asyncio.run(
        run_exporter(lambda: load_settings(flags), options, lambda bound: log.info("listening on %s", ", ".join(bound)))
    )


def _check_telemetry_path(path: str) -> None:
    if not path.startswith("/") or path == "/" or path.startswith(("/-/", "/v1/")):
        allowed = "a path such as /metrics, but not /, /-/... or /v1/..."
        raise ConfigError(f"--web.telemetry-path: found {path!r}; allowed: {allowed}")


def _server(text: str | None) -> ModelServer | None:
    if text is None:
        return None
    from mlcanary.resources.server import ModelServer, read_pid  # noqa: PLC0415 - psutil only where it is asked for

    try:
        read_pid(text)
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(
            f"--process.pid: found {text!r}; allowed: a PID, or a file that holds one", hint=str(error)
        ) from error
    return ModelServer(lambda: read_pid(text))
