"""The shipped rules, dashboards and configuration, and how they reach a directory of yours.

Guarantee: the same version, format and flags give the same bytes; a file that differs is never overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from mlcanary.bundle import kustomize, operator
from mlcanary.bundle.place import Place, labels_of
from mlcanary.bundle.shipped import FOLDERS, files, own, root
from mlcanary.errors import ConfigError

__all__ = [
    "FOLDERS",
    "FORMATS",
    "PARTS",
    "RUNBOOKS",
    "Place",
    "contents",
    "export",
    "files",
    "labels_of",
    "moved",
    "root",
]

FORMATS = ("plain", "prometheus-operator", "kustomize")
PARTS = ("network-policies", "exporter-network-policy", "further-rules")
"""What a cluster gets only if it is asked for."""
RUNBOOKS = "https://github.com/mlcanary/mlcanary/blob/main/docs/runbooks.md"
"""Where the shipped alerts and dashboards look for their runbooks; the alert's name in small letters is the anchor."""
_OWN = ("systemd", "prometheus")
_URL = re.compile(r"https?://[A-Za-z0-9\[][A-Za-z0-9._~:/?@!$&()*+,;=%\[\]-]*")


def contents(kind: str = "plain", place: Place | None = None, parts: Collection[str] = ()) -> dict[Path, bytes]:
    """What a format of FORMATS consists of, by path, in order.

    `plain`: the shipped files as they are, units for systemd, examples for Prometheus. `prometheus-operator`: objects
    to apply. `kustomize`: the same with judge, handler and sidecar. `parts`: those of PARTS that are wanted too.
    Raises ConfigError for a place or parts with `plain`, which has none, and for the exporter's policy with
    `kustomize`, whose top holds no model servers.
    """
    if kind == "prometheus-operator":
        return operator.contents(place or Place(), parts)
    if kind == "kustomize":
        return kustomize.contents(place or Place(), parts)
    if place is not None or parts:
        raise ConfigError(
            "--namespace, --label, --with: found with --format plain; allowed: with prometheus-operator and kustomize",
            hint="leave them out, or choose another --format; further rules are in rules/further/ of a plain export",
        )
    base = root()
    made = {name: (base / name).read_bytes() for name in files()}
    made |= {Path(folder) / name: data for folder in _OWN for name, data in own(folder).items()}
    return dict(sorted(made.items()))


def moved(contents: Mapping[Path, bytes], runbooks: str) -> dict[Path, bytes]:
    """The same files, with every link to the runbooks leading to a page of a site's own, `runbooks`.

    Raises ConfigError for what is no URL, or has an anchor: the alert's name becomes that.
    """
    if not _URL.fullmatch(runbooks):
        raise ConfigError(
            f"--runbook-url: found {runbooks!r}; allowed: http:// or https:// and an address without an anchor",
            hint="give the page that has docs/runbooks.md; `#` and the alert's name in small letters are put behind it",
        )
    return {path: data.replace(RUNBOOKS.encode(), runbooks.encode()) for path, data in contents.items()}


def export(target: Path, wanted: Mapping[Path, bytes] | None = None) -> list[Path]:
    """Write `wanted` (default: `contents()`) below `target`; returns what is there now.

    Raises ConfigError, before writing anything, if a file there differs: a site's own edits are never lost.
    """
    wanted = contents() if wanted is None else wanted
    try:
        changed = [
            target / name
            for name, data in wanted.items()
            if (target / name).exists() and (target / name).read_bytes() != data
        ]
        if changed:
            raise ConfigError(
                f"differing from the shipped files: {', '.join(str(path) for path in changed)}",
                hint="export into an empty directory and compare, or remove the files you do not need",
            )
        for name, data in wanted.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror}", hint="choose another directory") from error
    return [target / name for name in wanted]
