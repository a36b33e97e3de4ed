"""Writes `dashboards/*.json`: `python grafana/generate.py [FOLDER]`. A test demands an empty diff.

Conventions
- Every figure of a version comes from a recorded series of the window chosen in the variable `window`.
- Colours go by name, so that a version has one colour in all panels; limits are grey and dashed.
- A table or a bar shows the top ten of now; a line never uses `topk` of its own moment, which would flicker.
- What belongs to one sidecar or to the handler is matched by `cluster` and `namespace` alone.
- A panel over time that may be empty says why.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from boards import BOARDS, document


def write(folder: Path) -> None:
    """Every dashboard, and no file of one that is gone."""
    for old in folder.glob("*.json"):
        old.unlink()
    for board in BOARDS:
        folder.joinpath(f"{board.name}.json").write_text(json.dumps(document(board), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("dashboards"))
