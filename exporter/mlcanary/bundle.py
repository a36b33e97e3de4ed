"""Where the shipped rules, dashboards and Alertmanager files are, and how they reach a directory of yours.

In a wheel they lie inside the package (`bundle_files/`); in a checkout they are the folders at its top. This is the
only place that knows.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import mlcanary
from mlcanary.errors import ConfigError

FOLDERS = ("rules", "grafana", "alertmanager")
_LEFT_OUT = shutil.ignore_patterns("*.py", "__pycache__", "secrets")


def root() -> Path:
    """The directory that holds the folders. Raises ConfigError if the package was installed without them."""
    package = Path(mlcanary.__file__).parent
    for candidate in (package / "bundle_files", package.parent.parent):
        if all((candidate / name).is_dir() for name in FOLDERS):
            return candidate
    raise ConfigError("the bundle files are not installed", hint="install the wheel, or run from a checkout")


def files() -> list[Path]:
    """Every shipped file, relative to `root()`, in order."""
    base = root()
    found = (path for name in FOLDERS for path in (base / name).rglob("*") if path.is_file())
    return sorted(path.relative_to(base) for path in found if _is_shipped(path))


def export(target: Path) -> list[Path]:
    """Copy every shipped file below `target`; returns what was written.

    Raises ConfigError, before writing anything, if a file there differs: a site's own edits are never lost.
    """
    base = root()
    wanted = files()
    changed = [
        target / name
        for name in wanted
        if (target / name).exists() and (target / name).read_bytes() != (base / name).read_bytes()
    ]
    if changed:
        raise ConfigError(
            f"differing from the shipped files: {', '.join(str(path) for path in changed)}",
            hint="export into an empty directory and compare, or remove the files you do not need",
        )
    try:
        for name in wanted:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, target / name)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}", hint="choose another directory") from error
    return [target / name for name in wanted]


def _is_shipped(path: Path) -> bool:
    return not _LEFT_OUT(str(path.parent), [path.name]) and "__pycache__" not in path.parts
