"""Where the shipped rules, dashboards and Alertmanager files are.

In a wheel they lie inside the package (`bundle_files/`); in a checkout they are the folders at its top. This is the
only place that knows. What is made for one way of running only lies in this package, beside the code.
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


def own(folder: str) -> dict[Path, bytes]:
    """The files of a folder of this package, by their path below it, in order."""
    base = Path(__file__).parent / folder
    return {path.relative_to(base): path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}


def _is_shipped(path: Path) -> bool:
    return not _LEFT_OUT(str(path.parent), [path.name]) and "__pycache__" not in path.parts
