"""Each runbook answers the five questions of the person whom the alert has woken."""

from __future__ import annotations

import re

import pytest

from guides import guide

RUNBOOKS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#{2,3} |\Z)", guide("runbooks"), flags=re.MULTILINE | re.DOTALL))
QUESTIONS = ("First look", "The handler", "To stop it", "To silence it")


@pytest.mark.parametrize("alert", RUNBOOKS)
def test_a_runbook_says_what_it_means_and_what_to_do(alert: str) -> None:
    meaning, *answers = RUNBOOKS[alert].split("\n- **")
    assert len(meaning.split()) > 8, "what it means comes first"
    assert [answer.partition(":**")[0].partition("**")[0] for answer in answers][: len(QUESTIONS)] == list(QUESTIONS)
