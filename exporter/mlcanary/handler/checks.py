"""Rules of the handler's configuration that span keys."""

from __future__ import annotations

import importlib.util
import itertools
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from mlcanary.documents import Seconds, error_at
from mlcanary.handler.addresses import refused
from mlcanary.handler.schema import DefaultSettings, HandlerSettings, ReleaseSettings, TargetSettings
from mlcanary.handler.targets.mlflow import MLflowSettings
from mlcanary.handler.targets.registry import create
from mlcanary.handler.targets.sagemaker import SageMakerSettings

Place = tuple[str | int, ...]
_RESERVED_ALIAS = re.compile(r"[vV][0-9]+|(?i:latest)")


def check(document: HandlerSettings, text: str, source: str) -> None:
    """Raise ConfigError at the first rule that does not hold."""
    names: set[str] = set()
    for i, target in enumerate(document.targets):
        place: Place = ("targets", i)
        if target.name in names:
            raise error_at(text, source, (*place, "name"), f"{target.name!r} twice", "a name once")
        names.add(target.name)
        versions = tuple(target.target.versions)
        key = {"haproxy": "servers", "file": "values"}.get(str(target.target.__struct_config__.tag), "versions")
        if len(set(versions)) < 2:
            found = f"{len(set(versions))} version" + "s" * (len(set(versions)) != 1)
            raise error_at(text, source, (*place, "target", key), found, "two or more versions")
        for version in versions:
            if not _is_name(version):
                allowed = "letters, digits, dot, underscore and hyphen, 1 to 64 of them"
                raise error_at(text, source, (*place, "target", key), f"version {version!r}", allowed)
        _check_distinct(target, text, source, (*place, "target", key))
        if target.destination is not None and target.destination not in versions:
            allowed = ", ".join(versions)
            raise error_at(text, source, (*place, "destination"), repr(target.destination), allowed)
        _check_kind(target, text, source, (*place, "target"))
        _check_named(target, text, source, place)
        _check_release(target.release, text, source, (*place, "release"))
        mode = target.mode or document.defaults.mode
        if mode == "drive" and not create(target.target).weighted:
            found = f"drive, but type {target.target.__struct_config__.tag} serves one version at a time"
            raise error_at(text, source, (*place, "mode"), found, "observe, react, judge")
        _check_durations(target, text, source, place)
        _check_approval(target, document.defaults, text, source, place)
    _check_durations(document.defaults, text, source, ("defaults",))
    _check_release(document.defaults.release, text, source, ("defaults", "release"))
    _check_url(document.prometheus.url, text, source, ("prometheus", "url"))
    if document.alertmanager is not None:
        _check_url(document.alertmanager.url, text, source, ("alertmanager", "url"))


def _check_named(target: TargetSettings, text: str, source: str, place: Place) -> None:
    """Versions that other keys name must be versions of the target."""
    versions = tuple(target.target.versions)
    served = target.served.values if target.served is not None else {}
    for key, named in (("digests", target.digests), ("served", served)):
        for version in named:
            if version not in versions:
                raise error_at(text, source, (*place, key), f"version {version!r}", ", ".join(versions))
    if target.served is not None:
        _check_url(target.served.url, text, source, (*place, "served", "url"))
        missing = [version for version in versions if version not in served]
        if missing:
            raise error_at(text, source, (*place, "served", "values"), f"nothing for {missing[0]}", "every version")
    digests = list(target.digests.values())
    if len(set(digests)) != len(digests):
        raise error_at(text, source, (*place, "digests"), "one digest for two versions", "a digest once")


def _check_approval(target: TargetSettings, defaults: DefaultSettings, text: str, source: str, place: Place) -> None:
    """Two people can only be asked for where one is: `four_eyes` alone would protect nothing."""
    own, shared = target.approval, defaults.approval
    required = own.required if own.required is not None else shared.required
    four_eyes = own.four_eyes if own.four_eyes is not None else shared.four_eyes
    if not four_eyes or required:
        return
    section: Place = (*place, "approval") if own.four_eyes is not None else ("defaults", "approval")
    key, found, allowed = "four_eyes", "true, but nothing waits for an approval", "required: true as well"
    if own.four_eyes is None and own.required is not None:
        section, key = (*place, "approval"), "required"
        found, allowed = (
            "false, but defaults.approval has four_eyes: true",
            "required: true, or four_eyes: false as well",
        )
    raise error_at(text, source, (*section, key), found, allowed)


def _check_release(release: ReleaseSettings, text: str, source: str, place: Place) -> None:
    steps = release.steps
    if steps is None:
        return
    rising = all(a < b for a, b in itertools.pairwise(steps))
    if not rising or steps[-1] != 100:
        raise error_at(text, source, (*place, "steps"), f"{list(steps)}", "percents that rise, the last one 100")


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 64 and all(c.isascii() and (c.isalnum() or c in "._-") for c in text)


def _check_distinct(target: TargetSettings, text: str, source: str, place: Place) -> None:
    """Two versions behind one server or one value cannot be told apart."""
    names = getattr(target.target, str(place[-1]))
    owners: dict[object, str] = {}
    for version, name in names.items() if isinstance(names, dict) else ():
        if name in owners:
            raise error_at(text, source, (*place, version), f"{name!r}, as {owners[name]} has", "one that no other has")
        owners[name] = version


def _check_kind(target: TargetSettings, text: str, source: str, place: Place) -> None:
    kind = target.target
    if isinstance(kind, SageMakerSettings) and importlib.util.find_spec("boto3") is None:
        allowed, hint = "a type whose packages are installed", "pip install 'mlcanary[sagemaker]'"
        raise error_at(text, source, (*place, "type"), "'sagemaker' without boto3", allowed, hint=hint)
    for key in ("argv", "observe", "command"):
        argv = getattr(kind, key, None)
        if argv is not None and not argv[0].startswith("/"):
            raise error_at(text, source, (*place, key), repr(argv[0]), "an absolute path, as there is no PATH")
    reload = getattr(kind, "reload", None)
    if reload is not None and bool(reload.pid_file) == bool(reload.url):
        found = "both" if reload.url else "neither"
        raise error_at(text, source, (*place, "reload"), found, "pid_file or url")
    if isinstance(kind, MLflowSettings):
        _check_mlflow(kind, text, source, place)
    for path, url in _urls(kind):
        _check_url(url, text, source, (*place, *path))


def _check_mlflow(kind: MLflowSettings, text: str, source: str, place: Place) -> None:
    if _RESERVED_ALIAS.fullmatch(kind.alias):
        allowed = "another name: MLflow keeps latest and v1, v2, ... for itself"
        raise error_at(text, source, (*place, "alias"), repr(kind.alias), allowed)
    if kind.username and kind.bearer_token_file:
        raise error_at(text, source, (*place, "username"), "a bearer_token_file too", "one of them")
    if bool(kind.username) != bool(kind.password_file):
        raise error_at(text, source, place, "one of username and password_file", "both or none")


def _urls(section: msgspec.Struct) -> Iterator[tuple[Place, str]]:
    """Addresses in a section and in those under it, with their keys."""
    for key, value in msgspec.structs.asdict(section).items():
        if isinstance(value, msgspec.Struct):
            yield from (((key, *path), url) for path, url in _urls(value))
        elif isinstance(value, str) and (key in ("url", "server") or key.endswith("_url")):
            yield (key,), value


def _check_url(url: str, text: str, source: str, place: Place) -> None:
    """Metadata services answer with the credentials of the machine: a rollback has no business there."""
    if refused(urlsplit(url).hostname or ""):
        allowed = "an address, written as usual, that is not link-local, multicast, 0.0.0.0 or a metadata service"
        raise error_at(text, source, place, repr(url), allowed)


def _check_durations(section: TargetSettings | DefaultSettings, text: str, source: str, place: Place) -> None:
    sections = {
        "verification": section.verification,
        "evidence": section.evidence,
        "approval": section.approval,
        "capacity": section.capacity,
        "release": section.release,
    }
    for name, inner in sections.items():
        for key, value in msgspec.structs.asdict(inner).items():
            if isinstance(value, Seconds) and value <= 0 and key not in ("tolerance", "soak"):
                raise error_at(text, source, (*place, name, key), f"{value:g} s", "more than 0")
