"""Every target by its name."""

from __future__ import annotations

from collections.abc import Mapping

from fuzz.body_targets import BODIES
from fuzz.checkpoint_targets import CHECKPOINTS
from fuzz.contract import Target
from fuzz.document_targets import DOCUMENTS
from fuzz.line_targets import ENGINE, LINES

TARGETS: Mapping[str, Target] = {each.name: each for each in (LINES, ENGINE, BODIES, DOCUMENTS, CHECKPOINTS)}
