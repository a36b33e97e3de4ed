"""`mlcanary judge`: read counters from Prometheus, say which canary is worse, with a known chance of being wrong."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from mlcanary.cli.options import PATH, logging_options, set_up_logging, web_options
from mlcanary.errors import ConfigError
from mlcanary.judge.settings import NO_PROMETHEUS, Settings, load_settings

try:
    from mlcanary.judge.intake.prometheus import PrometheusReader
    from mlcanary.judge.service import RunOptions, serve
except ModuleNotFoundError as error:
    missing = (error.name or "").partition(".")[0]
    if missing not in {"requests", "scipy"}:
        raise
    raise ConfigError(f"mlcanary judge needs {missing}", hint='pip install "mlcanary[judge]"') from error

log = logging.getLogger(__name__)


@click.command("judge")
@click.option("--prometheus.url", "url", metavar="URL", help="Prometheus to read; wins over the file.")
@click.option("--config.file", "config_file", type=PATH, help="YAML configuration.")
@click.option("--config.check", "config_check", is_flag=True, help="Check the configuration and exit.")
@click.option(
    "--state.path",
    "state_path",
    type=PATH,
    default="mlcanary-judge.sqlite",
    show_default=True,
    help="Steps, evidence and decisions (SQLite, on a local disk).",
)
@web_options(":10878")
@logging_options
def command(
    url: str | None,
    config_file: Path | None,
    config_check: bool,
    state_path: Path,
    listen: tuple[str, ...],
    web_config_file: Path | None,
    log_level: str,
    log_format: str,
) -> None:
    """Judge every canary that Prometheus knows of, at every look, with one error budget for its whole life.

    `mlcanary judge --prometheus.url http://127.0.0.1:9090` is enough to start. The judge publishes verdicts and acts
    on nothing. A second one on the same state file stands by.
    """
    settings = load_settings(config_file, url, asks=not config_check)
    if config_check:
        named = ", ".join(settings.models) or "none by name"
        address = settings.prometheus.url
        asked = "no Prometheus is named yet" if address == NO_PROMETHEUS else address
        click.echo(f"configuration is valid: {asked}, models: {named}")
        return
    set_up_logging(log_level, log_format)
    options = RunOptions(state_path, listen, web_config_file, _reader)
    asyncio.run(
        serve(
            settings,
            options,
            lambda: load_settings(config_file, url),
            lambda bound: log.info("listening on %s", ", ".join(bound)),
        )
    )


def _reader(settings: Settings) -> PrometheusReader:
    prometheus = settings.prometheus
    return PrometheusReader(
        prometheus.url,
        timeout=prometheus.timeout,
        bearer_token_file=prometheus.bearer_token_file,
        ca_file=prometheus.ca_file,
        labels=dict(settings.select),
    )
