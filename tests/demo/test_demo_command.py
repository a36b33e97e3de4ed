"""`mlcanary demo`: which stories there are."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from mlcanary.cli.demo import command
from mlcanary.demo.scenario import Options
from mlcanary.demo.stories import STORIES
from mlcanary.errors import ConfigError


def test_the_command_knows_every_story_and_tells_the_default_one() -> None:
    (story,) = [parameter for parameter in command.params if parameter.name == "story"]
    assert list(getattr(story.type, "choices", ())) == list(STORIES)
    assert story.default == Options().story == "rollback"


def test_a_story_comes_from_the_environment_too() -> None:
    found = CliRunner().invoke(command, [], env={"DEMO_STORY": "no such story"})
    assert found.exit_code == 2
    assert "'rollback', 'release'" in found.output


def test_the_story_of_releases_needs_its_bug() -> None:
    with pytest.raises(ConfigError, match="release needs its bug"):
        CliRunner().invoke(command, ["--story", "release", "--bug", "none"], catch_exceptions=False)
