"""`mlcanary handler`: receive alerts, take traffic back, prove it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from pathlib import Path

import click

from mlcanary.cli.options import logging_options, set_up_logging, web_options
from mlcanary.handler.service import RunOptions, serve
from mlcanary.handler.settings import load_settings, require_safe_exposure
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.server import ListenAddress

log = logging.getLogger(__name__)


@click.command("handler")
@click.option(
    "--config.file", "config_file", type=click.Path(path_type=Path), required=True, help="YAML configuration."
)
@click.option("--config.check", "config_check", is_flag=True, help="Check the configuration and exit.")
@click.option(
    "--state.path",
    "state_path",
    type=click.Path(path_type=Path),
    default="mlcanary-handler.sqlite",
    show_default=True,
    help="Ledger (SQLite, on a local disk).",
)
@web_options("127.0.0.1:10879")
@logging_options
def command(
    config_file: Path,
    config_check: bool,
    state_path: Path,
    listen: tuple[str, ...],
    web_config_file: Path | None,
    log_level: str,
    log_format: str,
) -> None:
    """Receive alerts, take traffic back from a bad canary, and prove it from the traffic.

    Targets are in mode observe, and nothing is ever written to them, until the configuration says react.
    """
    settings = load_settings(config_file)
    if config_check:
        loaded = WebConfigFile(web_config_file).current() if web_config_file else None
        exposed = [address for address in listen if not ListenAddress.parse(address).loopback]
        require_safe_exposure(settings, exposed, loaded is not None and loaded.authenticates)
        modes = ", ".join(f"{target.name} ({target.mode})" for target in settings.targets)
        click.echo(f"configuration is valid: {len(settings.targets)} target(s): {modes}")
        return
    set_up_logging(log_level, log_format)
    options = RunOptions(
        state_path=state_path,
        listen=listen,
        web_config_file=web_config_file,
        clock=time.time,
        new_id=lambda: secrets.token_hex(8),
        checkpoint=lambda _name: None,
    )
    asyncio.run(
        serve(
            settings,
            options,
            lambda: load_settings(config_file),
            lambda bound: log.info("listening on %s", ", ".join(bound)),
        )
    )
