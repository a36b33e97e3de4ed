"""`mlcanary bundle`: the shipped rules, dashboards and configuration, in the form that a site takes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mlcanary import bundle


@click.group("bundle")
def command() -> None:
    """The shipped rules, dashboards and configuration for Prometheus, Alertmanager, systemd and Kubernetes."""


def _choice(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--with",
            "parts",
            multiple=True,
            type=click.Choice(bundle.PARTS),
            help="What a cluster gets only if asked: policies of judge and handler, of exporters, rules that nothing "
            "shipped reads. May be repeated. With kustomize all are there as components, and this turns one on; "
            "exporter-network-policy is refused there: it belongs into the kustomization of your model servers.",
        ),
        click.option(
            "--label",
            "labels",
            multiple=True,
            metavar="KEY=VALUE",
            help="Label of every object, such as what your Prometheus selects by; may be repeated.",
        ),
        click.option("--namespace", metavar="NAME", help="Namespace of the objects.  [default: monitoring]"),
        click.option(
            "--format",
            "kind",
            type=click.Choice(bundle.FORMATS),
            default="plain",
            show_default=True,
            help="Files as they are, objects for the Prometheus operator, or a kustomization of everything.",
        ),
    ):
        function = option(function)
    return function


def _chosen(kind: str, namespace: str | None, labels: tuple[str, ...], parts: tuple[str, ...]) -> dict[Path, bytes]:
    if namespace is None and not labels:
        return bundle.contents(kind, parts=parts)
    place = bundle.Place(labels=bundle.labels_of(labels))
    return bundle.contents(kind, place if namespace is None else bundle.Place(namespace, place.labels), parts)


@command.command("list")
@_choice
def list_files(kind: str, namespace: str | None, labels: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """Print the files of a format."""
    for name in _chosen(kind, namespace, labels, parts):
        click.echo(name)


@command.command("export")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@_choice
@click.option(
    "--runbook-url",
    metavar="URL",
    help=f"Your copy of docs/runbooks.md, for networks that do not reach {bundle.RUNBOOKS}.",
)
def export(
    directory: Path,
    kind: str,
    namespace: str | None,
    labels: tuple[str, ...],
    parts: tuple[str, ...],
    runbook_url: str | None,
) -> None:
    """Write the files of a format into DIRECTORY. A file there that differs is never overwritten."""
    wanted = _chosen(kind, namespace, labels, parts)
    for path in bundle.export(directory, wanted if runbook_url is None else bundle.moved(wanted, runbook_url)):
        click.echo(path)
