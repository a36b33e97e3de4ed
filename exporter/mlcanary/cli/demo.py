"""`mlcanary demo`: the whole loop on this machine; two stories."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlcanary.cli.options import DURATION
from mlcanary.errors import ConfigError

if TYPE_CHECKING:
    from mlcanary.demo.scenario import Options
    from mlcanary.demo.screen import Screen

INTERRUPTED = 130


@click.command()
@click.option(
    "--story",
    type=click.Choice(["rollback", "release"]),
    default="rollback",
    envvar="DEMO_STORY",
    show_default=True,
    help="A canary goes bad and is rolled back; or a good version goes from 1 % to all traffic, then a bad one is "
    "stopped. [env: DEMO_STORY]",
)
@click.option(
    "--bug",
    type=click.Choice(["unit_change", "none"]),
    default="unit_change",
    envvar="DEMO_BUG",
    show_default=True,
    help="What goes wrong with the canary (story rollback). [env: DEMO_BUG]",
)
@click.option("--keep", is_flag=True, envvar="DEMO_KEEP", help="Leave everything running afterwards. [env: DEMO_KEEP]")
@click.option("--rate", type=click.FloatRange(20, 1000), help="Requests per second (default: the story's own).")
@click.option("--healthy", type=DURATION, default=45.0, help="Length of the healthy phase (default 45s).")
@click.option("--quiet", type=DURATION, default=120.0, help="Length of the further watch without a bug (default 120s).")
def command(story: str, bug: str, keep: bool, rate: float | None, healthy: float, quiet: float) -> None:
    """A release, a bug, an alert, a proven rollback: everything real, on loopback.

    Exit status 0 only if every promise was kept.
    """
    if any(importlib.util.find_spec(name) is None for name in ("rich", "sklearn")):
        raise ConfigError("the demo needs scikit-learn and rich", hint="pip install 'mlcanary[demo]'")
    from mlcanary.demo.scenario import Options  # noqa: PLC0415 - only with the extra
    from mlcanary.demo.screen import Screen  # noqa: PLC0415

    if story == "release" and bug == "none":
        raise ConfigError("the story release needs its bug: found --bug none", hint="leave out DEMO_BUG or --bug")
    options = Options(
        story=story, bug=bug != "none", keep=keep, rate=rate, healthy_seconds=healthy, quiet_seconds=quiet
    )
    sys.exit(asyncio.run(_play(options, Screen())))


async def _play(options: Options, screen: Screen) -> int:
    """Exit status: 0 if every promise was kept, 1 if not, 130 after Ctrl-C. The first signal starts the clean-up."""
    from mlcanary.demo.stories import play  # noqa: PLC0415

    directory = Path(tempfile.mkdtemp(prefix="mlcanary-demo-"))
    story = asyncio.ensure_future(play(directory, screen, options))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, story.cancel)
    try:
        kept = await story
    except asyncio.CancelledError:
        screen.closing("Interrupted: every process that the demo started has ended.", good=False)
        shutil.rmtree(directory)
        return INTERRUPTED
    _tidy(directory, kept=kept)
    return 0 if kept else 1


def _tidy(directory: Path, *, kept: bool) -> None:
    """Remove the run directory, unless there is something in it to look into."""
    if kept or not any(path.is_file() for path in directory.rglob("*")):
        shutil.rmtree(directory)
