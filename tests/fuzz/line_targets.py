"""Lines of every format, through its decoder alone and through a whole engine."""

from __future__ import annotations

import json
import tempfile
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from exporter_process import parsed, total
from formats import event_traffic as events
from formats import record_traffic as records
from formats.same_traffic import FEATURES, MODEL, NOW, native_labels, native_predictions, traffic
from fuzz.contract import Target, demand
from mlcanary.catalog import CLIENT_DROP_REASONS, OTHER, Task
from mlcanary.engine import Engine
from mlcanary.formats.contract import Decoded, Format, FormatOptions, RowsDecoder
from mlcanary.formats.registry import make_format
from mlcanary.formats.rows import REASONS
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import Monitor, MonitorPlan
from mlcanary.records import Label, Record
from mlcanary.settings import ExporterSettings
from mlcanary.source_settings import Origin
from monitored_traffic import reference

SOURCE = "/logs/churn/data/2026/11/01/10/data.0.log"
STATE_BYTES = 4 << 20
"""What a format may keep of one input of `mutations.LONGEST` bytes, as its checkpoint."""

CALLS = traffic(12)
SINGLE = [call for call in CALLS if len(call.rows) == 1]
NAMES = {"feature_names": list(FEATURES)}
_OWN = {
    "id": 'meta["request.id"]',
    "ts": {"path": "meta.at", "unit": "s"},
    "version": "meta.release",
    "latency_ms": {"path": "meta.took", "unit": "s"},
    "features": "in.rows[*]",
    "score": "$.out.classes[*].p[-1]",
    "prediction": "out.classes[*].c",
}
_CSV = {"csv": list(records.COLUMNS), "delimiter": ";", "id": "id", "ts": "when", "version": "release"}
_CSV |= {"latency_ms": "ms", "features": list(FEATURES), "score": "p"}
_KINDS = {
    "kind": "kind",
    "id": "id",
    "label": "label",
    "scores": "scores",
    "items": "items",
    "user": "user",
    "value": "v",
}
_PLAN = ModelPlan(reference=reference(), segments=("plan",))
PLANS = {
    MODEL: _PLAN,
    "many": ModelPlan(reference=reference(), task=Task.MULTICLASS),
    "amount": ModelPlan(task=Task.REGRESSION),
    "feed": ModelPlan(task=Task.RANKING),
}
MONITORED = MonitorPlan(models=PLANS, default=_PLAN)


@dataclass(frozen=True)
class Reading:
    """One way to read lines, with some that are good."""

    name: str
    lines: Sequence[bytes]
    mapping: Mapping[str, Any] | None = None

    @property
    def options(self) -> FormatOptions:
        """Of its source."""
        return FormatOptions(self.name, model=MODEL, mapping=self.mapping)


def _together(logs: Mapping[str, Sequence[bytes]]) -> list[bytes]:
    return [line for lines in logs.values() for line in lines]


def _other_records() -> list[bytes]:
    """Tasks and fields that the common traffic does not have."""
    base: dict[str, Any] = {"ts": NOW - 9, "version": "v1"}
    lines: list[dict[str, Any]] = [
        {**base, "id": 1, "model": "many", "scores": {"a": 0.2, "b": 0.8}, "features": {"age": 1, "new": "x"}},
        {**base, "id": "n", "model": "amount", "prediction": 12.5, "user": "u", "queue_ms": 1},
        {**base, "id": "f", "model": "feed", "items": ["a", "b", 3], "user_id": 7},
        {**base, "request_id": "e", "model": "other", "status": 500},
        {"kind": "label", "id": "f", "model": "feed", "label": {"b": 2, "c": 1}},
        {"kind": "label", "id": "n", "label": 12, "timestamp": "2026-11-01T10:00:00Z"},
        {"kind": "label", "id": "1", "event": "purchase", "value": 59.9},
        {"kind": "client", "ts": NOW, "dropped": {"queue_full": 12}},
    ]
    return [json.dumps(line).encode() for line in lines]


READINGS = (
    Reading("native", [*native_predictions(CALLS), *native_labels(CALLS)]),
    Reading("native", _other_records()),
    Reading("cloudevents", [*events.native_events(CALLS[:4]), *events.kserve_binary(CALLS, events.tensors)]),
    Reading("kserve", events.kserve_structured(CALLS, events.columns), NAMES),
    Reading("kserve", events.batches(events.kserve_stored(CALLS, events.dataframe_split))),
    Reading("seldon1", [*events.seldon_kafka(CALLS, events.seldon_message), *events.seldon_feedback(CALLS)]),
    Reading("oip-v2", [*events.both_halves(CALLS, events.nested_tensors), *events.bodies_alone(CALLS, events.tensors)]),
    Reading("mlserver", events.mlserver_kafka(CALLS, events.tensors)),
    Reading("bentoml", _together(records.bentoml(SINGLE)), {"timezone": records.ZONE}),
    Reading("sagemaker", [*_together(records.sagemaker(CALLS, "csv")), *_together(records.ground_truth(CALLS))], NAMES),
    Reading("sagemaker", _together(records.sagemaker(CALLS, "base64")), NAMES),
    Reading("sagemaker", _together(records.sagemaker(CALLS, "json")), NAMES),
    Reading("azureml", records.azureml(CALLS)),
    Reading("databricks", records.databricks(CALLS, {"id": "client_request_id", "time": "request_time",
            "latency": "execution_duration_ms", "version": "served_entity_id"})),
    Reading("vertex", records.vertex(CALLS), NAMES),
    Reading("mapping", records.own_json(CALLS), _OWN),
    Reading("mapping", records.own_csv(CALLS), _CSV),
    Reading("mapping", _other_records(), _KINDS),
)  # fmt: skip
_WORDS = [key.encode() for key in ("captureData", "columns", "meta_data", "data_base64", "truth", "dataframe_split")]


def _seed(index: int, reading: Reading) -> list[bytes]:
    lines = list(reading.lines)
    whole = b"\n".join(lines[:24]) + b"\n"
    return [bytes([index]) + whole, bytes([index]) + lines[0], bytes([index]) + lines[-1] + b"\n"]


SEEDS = [seed for index, reading in enumerate(READINGS) for seed in _seed(index, reading)]


def chosen(data: bytes) -> tuple[Reading, bytes]:
    """The reading that the first byte chooses, and the lines."""
    return READINGS[(data[0] if data else 0) % len(READINGS)], data[1:]


def attempt_lines(data: bytes) -> None:
    """A fresh decoder, then one that takes over its state, then a monitor that is fed with what came out."""
    reading, block = chosen(data)
    found = make_format(reading.options, MONITORED.model)
    decoded = found.decode_block(block, NOW, SOURCE)
    check_decoded(found, decoded, block)
    state = found.dump()
    kept = msgspec.msgpack.encode(state)
    demand(len(kept) <= STATE_BYTES, f"{reading.name} keeps {len(kept)} bytes of {len(block)}")
    again = make_format(reading.options, MONITORED.model)
    again.load(msgspec.msgpack.decode(kept))
    demand(again.dump() == state, f"{reading.name} takes over another state than it gave")
    check_decoded(again, again.decode_block(block, NOW + 900, SOURCE), block)
    if reading.name == "native":
        _attempt_columns(reading, block)
    monitor = Monitor(MONITORED, NOW)
    monitor.feed(decoded.records, NOW, decoded.predictions, decoded.labels)
    monitor.advance(NOW + 1e6, NOW)
    if not zlib.crc32(data) % 8:  # it costs more than all before
        for _ in monitor.samples(NOW):
            pass


def check_decoded(found: Format, decoded: Decoded, block: bytes) -> None:
    """Lines, records and rejects add up, and each reject has a reason of its format."""
    lines = block.split(b"\n")
    if not lines[-1]:
        lines.pop()
    demand(decoded.lines == len(lines), f"counted {decoded.lines} lines of {len(lines)}")
    known = {*REASONS, *found.reasons}
    for reject in decoded.rejects:
        demand(reject.reason in known, f"an unknown reason {reject.reason}")
        demand(len(reject.excerpt) <= 160, f"an excerpt of {len(reject.excerpt)} characters")
        reject.detail.encode()
        demand(len(reject.detail) <= 600, f"a detail of {len(reject.detail)} characters: {reject.detail[:200]}")
    if not isinstance(found, RowsDecoder):
        filled = sum(1 for line in lines if line.strip())
        count = len(decoded.every_record()) + len(decoded.rejects)
        told = filled - count
        demand(
            told == 0 or (told > 0 and bool(b'client"' in block)), f"{filled} lines gave {count} records and rejects"
        )


def _attempt_columns(reading: Reading, block: bytes) -> None:
    """The records of columns are those of the lines one by one."""
    warm = b"\n".join(READINGS[0].lines[:3]) + b"\n"
    told = []
    for columns in (True, False):
        found = make_format(reading.options, MONITORED.model, columns=columns)
        found.decode_block(warm, NOW, SOURCE)
        decoded = found.decode_block(block, NOW, SOURCE)
        check_decoded(found, decoded, block)
        rejects = Counter(reject.reason for reject in decoded.rejects)
        told.append((Counter(map(_plain, decoded.every_record())), rejects, decoded.client_dropped))
    for one, other in zip(*told, strict=True):
        demand(one == other, f"columns give {one - other}, lines {other - one}")


def _plain(record: Record) -> str:
    """A record without what columns do not keep: the values of features that no measure reads."""
    if isinstance(record, Label):
        return repr(record)
    return repr(msgspec.structs.replace(record, features={}))


def attempt_engine(data: bytes) -> None:
    """A log on disk, read by a whole engine to its end, and the page that comes of it."""
    reading, block = chosen(data)
    with tempfile.TemporaryDirectory(prefix="mlcanary-fuzz-") as folder:
        log = Path(folder) / "data.0.log"
        log.write_bytes(block)
        origin = Origin(str(log), reading.options)
        engine = Engine(ExporterSettings((str(log),), MONITORED, origins=(origin,)), clock=lambda: NOW)
        while engine.read_some():
            pass
        engine.publish()
        page = parsed(engine.page.text.decode())
        shown = engine.page
        engine.close()
    lines = block.count(b"\n")
    read = total(page, "mlcanary_log_lines_total")
    demand(read == lines, f"the page counts {read} lines of {lines}")
    rejects = total(page, "mlcanary_log_parse_errors_total")
    demand(len(shown.rejects) == min(20, rejects), f"{rejects} rejects, {len(shown.rejects)} of them shown")
    if reading.name == "native":
        filled = sum(1 for line in block.split(b"\n")[:-1] if line.strip())
        took = sum(total(page, name) for name in _TAKEN)
        dropped = sum(total(page, "mlcanary_client_dropped_total", reason=r) for r in (*CLIENT_DROP_REASONS, OTHER))
        demand(took + rejects <= filled, f"{filled} lines gave {took} records and {rejects} rejects")
        demand(dropped > 0 or b"label" in block or took + rejects == filled, f"{filled} lines, {took} + {rejects}")


_TAKEN = ("mlcanary_predictions_total", "mlcanary_duplicate_predictions_total")

LINES = Target("lines", attempt_lines, SEEDS, head=1, words=_WORDS)
ENGINE = Target("engine", attempt_engine, SEEDS, head=1, words=_WORDS)
