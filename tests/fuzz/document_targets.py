"""Files that an operator writes: the configuration, the reference profile, the `mapping` of a source."""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from formats.same_traffic import MODEL, NOW
from fuzz.contract import Target, demand
from fuzz.line_targets import READINGS, SOURCE, check_decoded
from mlcanary.errors import ConfigError
from mlcanary.formats.contract import FormatOptions
from mlcanary.formats.profile import read_profile, write_profile
from mlcanary.formats.registry import ROW_FORMATS, make_format
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.settings import Flags, load_settings
from monitored_traffic import reference, traffic

_CONFIGURATIONS = Path(__file__).parents[1] / "config"
_RECORDS = traffic(40)
_CONFIGURATION, _PROFILE, _MAPPING = range(3)


def attempt_document(data: bytes) -> None:
    """A file of the kind that the first byte chooses; the mapping of the format that the second one chooses."""
    kind = (data[0] if data else 0) % 3
    try:
        text = data[1:].decode()
    except UnicodeDecodeError:
        return  # told by whoever opens the file
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            (_configuration, _profile, _mapping)[kind](text)
        except ConfigError as error:
            demand(0 < len(str(error)) < 20_000, f"a message of {len(str(error))} characters")
            (str(error) + error.hint).encode()


def _configuration(text: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mlcanary-fuzz-") as folder:
        path = Path(folder) / "exporter.yml"
        path.write_text(text, encoding="utf-8")
        for name in ("profile.json", "everything.yml"):
            (Path(folder) / name).write_bytes((_CONFIGURATIONS / "good" / name).read_bytes())
        settings = load_settings(Flags(config_file=path))
    for origin in settings.origins:
        decoder = make_format(origin.format, settings.plan.model)
        line = b'{"id": "a", "score": 0.5}\n'
        check_decoded(decoder, decoder.decode_block(line, NOW, SOURCE), line)
    _monitor(settings.plan)


def _profile(text: str) -> None:
    found = read_profile(text, "profile.json")
    again = read_profile(write_profile(found).decode(), "profile.json")
    demand(again.features.keys() == found.features.keys(), "what is written reads back as something else")
    _monitor(MonitorPlan(models={"churn": ModelPlan(reference=found)}))


def _monitor(plan: MonitorPlan) -> None:
    """What is taken can be used: fed, and shown."""
    monitor = Monitor(plan, _RECORDS[0].ts)
    now = _RECORDS[-1].ts
    monitor.feed(_RECORDS, now)
    monitor.advance(now, now)
    for each in monitor.samples(now):
        "".join(each.labels).encode()


def _mapping(text: str) -> None:
    """JSON, of which `{"format": ..., "mapping": ...}` is asked."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return
    if not isinstance(document, dict) or not isinstance(document.get("mapping"), dict):
        return
    name = document.get("format")
    name = name if isinstance(name, str) and name in ROW_FORMATS else "mapping"
    try:
        decoder = make_format(FormatOptions(name, model=MODEL, mapping=document["mapping"]), lambda _model: ModelPlan())
    except ValueError as error:
        raise ConfigError(f"{error}") from error
    for reading in READINGS:
        if reading.name == name:
            block = b"\n".join(reading.lines[:8]) + b"\n"
            check_decoded(decoder, decoder.decode_block(block, NOW, SOURCE), block)


def _seeds() -> list[bytes]:
    found: list[tuple[int, str]] = []
    for folder in ("good", "bad"):
        for path in sorted((_CONFIGURATIONS / folder).glob("*.yml")):
            found.append((_CONFIGURATION, path.read_text(encoding="utf-8")))
            if folder == "good":
                found.append((_CONFIGURATION, json.dumps(_as_json(path))))
    profile = (_CONFIGURATIONS / "good" / "profile.json").read_text(encoding="utf-8")
    found.append((_PROFILE, json.dumps(json.loads(profile))))
    found.append((_PROFILE, json.dumps(json.loads(write_profile(reference(rows=40, sample=5)))).replace("\n", " ")))
    found.append((_PROFILE, profile))
    for reading in READINGS:
        found.append((_MAPPING, json.dumps({"format": reading.name, "mapping": reading.mapping or {}})))
    found.append(
        (_MAPPING, json.dumps({"format": "kserve", "mapping": {"pairs": {"count": 5, "age": "1m"}, "id": "id"}}))
    )
    bento: dict[str, Any] = {"columns": {"age": "feature", "p": "score"}, "batch": True, "output": "score"}
    found.append((_MAPPING, json.dumps({"format": "bentoml", "mapping": bento})))
    return [bytes([kind]) + text.encode() for kind, text in found]


def _as_json(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


DOCUMENTS = Target(
    "documents", attempt_document, _seeds(), head=1, words=[b"&a ", b"*a", b"<<: ", b".inf", b".nan", b"!!str "]
)
