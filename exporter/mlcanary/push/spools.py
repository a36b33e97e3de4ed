"""The spools of an exporter: beside its state file, or in a temporary directory that goes with the process."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlcanary.push.settings import EVENTS, PUSHED, PushSection
from mlcanary.sources.spool import Spool

log = logging.getLogger(__name__)

_DIRECTORIES = {PUSHED: "records", EVENTS: "events"}


@contextlib.contextmanager
def open_spools(section: PushSection | None, state_path: Path | None) -> Iterator[Mapping[str, Spool]]:
    """Spools by origin for the length of the block; none without a section. Raises StateError.

    With `state_path` they lie in `<state_path>.push/` and stay. Enter after the lock of the state file is held.
    """
    if section is None:
        yield {}
        return
    with contextlib.ExitStack() as stack:
        if state_path is None:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlcanary-push-")))
        else:
            root = state_path.with_name(f"{state_path.name}.push")
        spools = {
            name: Spool(root / directory, section.spool, transient=state_path is None)
            for name, directory in _DIRECTORIES.items()
        }
        try:
            yield spools
        finally:
            for spool in spools.values():
                spool.close()
