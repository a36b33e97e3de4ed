"""`mlcanary handler`: run the handler; with a subcommand, ask a running one or order something there."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from pathlib import Path

import click

from mlcanary.cli.handler_client import COMMANDS
from mlcanary.cli.options import logging_options, set_up_logging, web_options
from mlcanary.handler.service import RunOptions, serve
from mlcanary.handler.settings import load_settings, require_safe_exposure, require_two_people
from mlcanary.webserver.config import WebConfigFile
from mlcanary.webserver.server import ListenAddress

log = logging.getLogger(__name__)


@click.group("handler", invoke_without_command=True, subcommand_metavar="[COMMAND [ARGS]...]")
@click.option("--config.file", "config_file", type=click.Path(path_type=Path), help="YAML configuration: run with it.")
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
@click.pass_context
def command(
    context: click.Context,
    config_file: Path | None,
    config_check: bool,
    state_path: Path,
    listen: tuple[str, ...],
    web_config_file: Path | None,
    log_level: str,
    log_format: str,
) -> None:
    """Receive alerts, take traffic back from a bad canary, and prove it from the traffic.

    With --config.file it runs. Targets are in mode observe, and nothing is ever written to them, until the
    configuration says react or drive. With a command it asks a running handler; exit status 0 done, or taken where
    --wait is left out, 1 refused, 2 wrong usage or no answer, 3 it waits for the approval of a person.
    """
    if context.invoked_subcommand is not None:
        if config_file is not None:
            raise click.UsageError("--config.file runs a handler: leave it out to ask one that runs")
        return
    if config_file is None:
        raise click.UsageError("Missing option '--config.file', or a command: status, plan, rollback, freeze ...")
    _run(config_file, config_check, state_path, listen, web_config_file, (log_level, log_format))


for _command in COMMANDS:
    command.add_command(_command)


def _run(
    config_file: Path,
    config_check: bool,
    state_path: Path,
    listen: tuple[str, ...],
    web_config_file: Path | None,
    logging_form: tuple[str, str],
) -> None:
    settings = load_settings(config_file)
    if config_check:
        loaded = WebConfigFile(web_config_file).current() if web_config_file else None
        exposed = [address for address in listen if not ListenAddress.parse(address).loopback]
        require_safe_exposure(settings, exposed, loaded is not None and loaded.authenticates)
        if loaded is not None:  # without the file nobody can tell who is there
            require_two_people(settings, loaded)
        modes = ", ".join(f"{target.name} ({target.mode})" for target in settings.targets)
        click.echo(f"configuration is valid: {len(settings.targets)} target(s): {modes}")
        return
    set_up_logging(*logging_form)
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
