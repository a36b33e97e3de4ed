"""Parameter types and logging that several commands share."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mlcanary.catalog import Role, Task
from mlcanary.documents import Seconds


class DurationType(click.ParamType[float]):
    """A Prometheus duration on the command line, seconds in code."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; fails with what is allowed."""
        if isinstance(value, float):
            return value
        try:
            return float(Seconds.parse(value))
        except ValueError:
            self.fail(f"{value!r} is no duration such as 500ms, 30s, 5m or 1h30m", param, ctx)


DURATION = DurationType()


_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_LONGEST_VALUE = 2000


Command = Callable[..., None]
PATH = click.Path(path_type=Path)


def source_options(command: Command) -> Command:
    """What is read: `log_path`, `config_file`, `reference_path`, `model_name`, `_version`, `_role` and `_task`."""
    roles, tasks = click.Choice([role.value for role in Role]), click.Choice([task.value for task in Task])
    for option in (
        click.option("--model.role", "model_role", type=roles, help="Role of versions that the file does not name."),
        click.option("--model.task", "model_task", type=tasks, help="Task of models that the file does not name."),
        click.option("--model.version", "model_version", help="Version of records that name none.  [default: unknown]"),
        click.option("--model.name", "model_name", help="Model of records that name none.  [default: default]"),
        click.option("--reference.path", "reference_path", type=PATH, help="Reference profile of every model."),
        click.option("--config.file", "config_file", type=PATH, help="YAML configuration."),
        click.option(
            "--log.record-format", "record_format", metavar="FORMAT", help="Format of the records.  [default: native]"
        ),
        click.option(
            "--log.path", "log_path", multiple=True, metavar="FILE", help="Log file or glob; may be repeated."
        ),
    ):
        command = option(command)
    return command


def web_options(address: str) -> Callable[[Command], Command]:
    """`listen` with this default, and `web_config_file`."""

    def add(command: Command) -> Command:
        command = click.option(
            "--web.config.file", "web_config_file", type=PATH, help="TLS and authentication (YAML)."
        )(command)
        return click.option(
            "--web.listen-address",
            "listen",
            multiple=True,
            default=[address],
            show_default=True,
            help="May be repeated.",
        )(command)

    return add


def logging_options(command: Command) -> Command:
    """`log_level` and `log_format`."""
    levels, forms = click.Choice(["debug", "info", "warning", "error"]), click.Choice(["logfmt", "json"])
    command = click.option(
        "--log.format", "log_format", type=forms, default="logfmt", show_default=True, help="Form of a log line."
    )(command)
    return click.option(
        "--log.level", "log_level", type=levels, default="info", show_default=True, help="Lowest level that is logged."
    )(command)


_PLAIN = re.compile(r"[!#-<>-~]+", re.ASCII)
"""Text that needs no quotes: no blank, quote or equals sign, and nothing that a terminal or a log reader obeys."""


class _LineFormatter(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        extra = {k: str(v)[:_LONGEST_VALUE] for k, v in vars(record).items() if k not in _STANDARD}
        fields.update(extra)
        if record.exc_info:
            fields["error"] = self.formatException(record.exc_info)
        if self._as_json:
            return json.dumps(fields)
        return " ".join(f"{k}={v if _PLAIN.fullmatch(v) else json.dumps(v)}" for k, v in fields.items())


def set_up_logging(level: str, form: str) -> None:
    """Log to standard error, one line per event. `form`: logfmt or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(as_json=form == "json"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
