"""Parameter types and logging that several commands share."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import click

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
        return " ".join(
            f"{k}={json.dumps(v) if ' ' in v or '=' in v or chr(10) in v else v}" for k, v in fields.items()
        )


def set_up_logging(level: str, form: str) -> None:
    """Log to standard error, one line per event. `form`: logfmt or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_LineFormatter(as_json=form == "json"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
