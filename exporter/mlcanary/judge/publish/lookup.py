"""Which canaries a view shows, and the one that a request means. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlcanary.judge.contract import CanaryKey
from mlcanary.judge.publish.view import JudgedCanary, View

Shown = tuple[CanaryKey, JudgedCanary]


def current(view: View) -> list[Shown]:
    """One canary per cluster, namespace, model and version, in that order; of several, the one that began last.

    A version that comes back is another canary under the same labels: two series of one name would spoil the page.
    """
    return list({_labels(key): (key, view.canaries[key]) for key in sorted(view.canaries)}.values())


def matching(
    view: View, model: str, version: str | None = None, cluster: str | None = None, namespace: str | None = None
) -> list[Shown]:
    """The canaries of a model that are meant; None means any."""
    wanted = ((version, "version"), (cluster, "cluster"), (namespace, "namespace"))
    return [
        (key, judged)
        for key, judged in current(view)
        if key.model == model and all(value is None or getattr(key, name) == value for value, name in wanted)
    ]


def names(keys: Iterable[CanaryKey]) -> list[dict[str, str]]:
    """Keys as a person or a program repeats them in a request; places that are not set are left out."""
    fields = ("cluster", "namespace", "model", "version", "baseline")
    return [{name: value for name in fields if (value := getattr(key, name))} for key in keys]


def _labels(key: CanaryKey) -> tuple[str, str, str, str]:
    return key.cluster, key.namespace, key.model, key.version
