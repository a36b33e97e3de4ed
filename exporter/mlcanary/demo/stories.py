"""Plays one story from beginning to end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import aiohttp

from mlcanary.demo.configuration import Ports, Run
from mlcanary.demo.release_story import ReleaseStory
from mlcanary.demo.rollback_story import RollbackStory
from mlcanary.demo.scenario import Options, Scenario
from mlcanary.demo.screen import Screen
from mlcanary.demo.stack import DemoError, Stack

STORIES: Mapping[str, type[Scenario]] = {"rollback": RollbackStory, "release": ReleaseStory}


async def play(directory: Path, screen: Screen, options: Options) -> bool:
    """Play one run in `directory`, which is empty; True if every promise was kept.

    A `DemoError` is shown with the guilty component's last log lines and counts as not kept.
    """
    timeout = aiohttp.ClientTimeout(total=5.0)
    async with aiohttp.ClientSession(timeout=timeout) as session, Stack(directory, session) as stack:
        try:
            story = STORIES[options.story]
            run = Run(directory, Ports.choose(tuple(story.cast.weights)), story.cast)
            kept = await story(run, stack, session, screen, options).play()
        except DemoError as error:
            show_failure(screen, stack, error)
            kept = False
        finally:
            screen.quiet()
        return kept


def show_failure(screen: Screen, stack: Stack, error: DemoError) -> None:
    """The end of the guilty component's log, one sentence, and what to do."""
    if error.component:
        screen.log_tail(error.component, str(stack.log_path(error.component)), stack.log_tail(error.component))
    screen.closing(f"The demo stopped: {error}." + (f"\nTo do: {error.hint}." if error.hint else ""), good=False)
