"""What of unknown lines is the answer of the model, its true outcome, and what are its features. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mlcanary.doctor.paths import Outline, Place, mostly, words_of

_SCORE = {"score", "scores", "prob", "probs", "proba", "probability", "probabilities", "confidence", "likelihood", "p"}
_ANSWER = {"prediction", "predictions", "predicted", "pred", "preds", "decision", "yhat", "class", "classes"}
_ANSWERED = _ANSWER | {"output", "outputs", "response", "result", "results", "answer", "out"}
TRUTH = {"label", "labels", "target", "truth", "actual", "outcome", "groundtruth", "true", "churned", "clicked"} | {
    *("converted", "purchased", "defaulted", "y"),
}
_FEATURES = {"features", "feature", "inputs", "input", "instances", "x", "data", "attributes", "params", "request"} | {
    *("row", "rows", "record", "records", "columns", "payload", "in"),
}
_ASKED_KEYS = {"instances", "inputs", "dataframe_split", "dataframe_records"}
_ANSWERED_KEYS = {"predictions", "outputs"}
_NO_FEATURES = {"level", "logger", "msg", "message", "hostname", "host", "pid", "thread", "ip", "url", "method"} | {
    *("trace", "span", "pod", "namespace", "severity", "path", "agent", "uuid", "guid", "filename", "lineno", "stream"),
}
_LONGEST_FEATURE_TEXT = 64


@dataclass
class Claims:
    """Which place is taken for what; `mapping` and `why` as they will be proposed."""

    outline: Outline
    mapping: dict[str, Any] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)

    def free(self) -> Iterator[Place]:
        """Places that stand for nothing yet."""
        taken = set(self.paths.values())
        return (place for place in self.outline.places.values() if place.path and place.path not in taken)

    def take(self, key: str, found: tuple[Place, str] | None) -> None:
        """This place is the `key` of a row."""
        if found is None:
            return
        place, why = found
        unit = self.units.get(place.path)
        self.put(key, place.path, why, {"path": place.path, "unit": unit} if unit not in (None, "ms") else place.path)

    def put(self, key: str, path: str, why: str, entry: Any = None) -> None:
        """The same with another spelling of the path."""
        self.paths[key] = path
        self.mapping[key] = path if entry is None else entry
        self.why[key] = why


def answers(claims: Claims) -> None:
    """Score, prediction and label, or the bodies of a request and a response."""
    asked, answered = _object(claims, _ASKED_KEYS), _object(claims, _ANSWERED_KEYS)
    if asked is not None and answered is not None and asked != answered:
        claims.put("request", asked, "the body of a request, of a known shape")
        claims.put("response", answered, "the body of its response; `output: prediction` if its numbers are no scores")
    else:
        for place in list(claims.free()):
            _answer(claims, place)
    for place in list(claims.free()):
        words = place.words
        truth = set(words) & TRUTH and not set(words) & _ANSWER and "label" not in claims.mapping
        if truth and place.scalar and place.plain and place.different <= max(20, len(place.plain)):
            claims.take("label", (place, "the true outcome; the class or number that came true"))
    event = next((p for p in claims.free() if p.key in ("event", "event_type", "action") and p.different <= 20), None)
    if (
        event is not None
        and event.plain
        and "id" in claims.mapping
        and not claims.mapping.keys() & {"score", "response"}
    ):
        claims.take("event", (event, "business events such as click and purchase"))
        value = next((p for p in claims.free() if p.key in ("value", "amount", "revenue") and p.numeric), None)
        claims.take("value", None if value is None else (value, "the amount of an event"))


def _answer(claims: Claims, place: Place) -> None:
    words = set(place.words)
    run = "".join(place.words)
    named = bool(words & _SCORE or run.endswith(("score", "prob", "proba", "probability"))) and not words & {
        "threshold",
        "version",
        "model",
        "credit",
        "risk",
    }
    inside = bool(words & _ANSWERED) or bool(set(words_of(place.parent)) & _ANSWERED)
    if not place.plain or words & {"true", "actual", "truth"}:
        return
    if place.lists:
        _shares(claims, place, named or inside)
        return
    share = place.numeric and all(0 <= number <= 1 for number in place.numbers)
    broken = any(not number.is_integer() for number in place.numbers)
    if "score" not in claims.mapping and share and broken and (named or inside):
        doubt = "" if named else ": a probability by its look; if it is an amount, name it `prediction`"
        claims.take("score", (place, f"numbers in 0..1{doubt}"))
    elif named and place.numeric and not share and "score" not in claims.mapping:
        low, high = min(place.numbers), max(place.numbers)
        claims.notes.append(
            f"{place.path} looks like a score but runs from {low:g} to {high:g}: a score is a probability in 0..1, so "
            "log the one after the sigmoid or softmax; it is left out here"
        )
        claims.paths[f"no score {place.path}"] = place.path
    elif "prediction" not in claims.mapping and words & _ANSWER:
        claims.take("prediction", (place, f"{place.different} different values"))
    elif "prediction" not in claims.mapping and inside and place.different <= max(20, len(place.plain) // 10):
        claims.take("prediction", (place, f"{place.different} different values: a class by its look"))


def _shares(claims: Claims, place: Place, answer: bool) -> None:
    """A list of class probabilities. Two of them have the positive class last."""
    lists = [value for value in place.lists if all(isinstance(each, int | float) for each in value)]
    summed = mostly(len(value) > 1 and abs(sum(value) - 1) < 0.02 and min(value) >= 0 for value in lists)
    if not answer or not lists or not summed or "score" in claims.mapping:
        return
    if all(len(value) == 2 for value in lists):
        claims.put(
            "score", place.path, "the second of two probabilities: the positive class stands last", f"{place.path}[-1]"
        )
    else:
        claims.notes.append(f"{place.path} holds probabilities of several classes as a list: log them as an object")
        claims.paths["several"] = place.path


def features(claims: Claims, *, columns: bool) -> None:
    """The features: an object or list of them, else every value that is left."""
    if "request" in claims.mapping or (columns and "kind" in claims.mapping):
        return
    outline = claims.outline
    taken = set(claims.paths.values())
    best: tuple[int, int, str] | None = None
    for path in outline.objects:
        children = outline.children(path)
        held = [child for child in children if _is_feature(child)]
        if not path or not held or any(child.path in taken for child in children):
            continue
        named = bool(set(_last_words(path)) & _FEATURES)
        if named or len(held) > 1:
            best = max(best or (0, 0, ""), (int(named), len(held), path))
    vector = next((p for p in claims.free() if p.lists and set(p.words) & _FEATURES), None)
    loose = [place for place in claims.free() if _is_feature(place) and not place.row]
    if best is not None and (best[0] or best[1] >= len(loose) / 2):
        path = best[2]
        starred = "[*]" in path
        claims.put("features", path, f"an object of {best[1]} features" + (", one for each row" if starred else ""))
        _star_answers(claims, path)
    elif vector is not None:
        why = "a list without names: they become f0, f1, ...; better give `feature_names: [...]`"
        claims.put("features", vector.path, why)
        _star_answers(claims, vector.path)
    elif loose and claims.mapping.keys() & {"score", "prediction", "scores"}:
        entry: Any = [p.path for p in loose] if columns else {p.key: p.path for p in loose}
        claims.put(
            "features", "", f"the {len(loose)} values that are left; take out what is no input of the model", entry
        )


def _star_answers(claims: Claims, path: str) -> None:
    """Where features come row by row, so do answers that are lists of the same lengths."""
    rows = claims.outline.rows.get(path.partition("[*]")[0].replace("$", ""))
    if "[*]" not in path or rows is None:
        return
    for place in list(claims.free()):
        lengths = [len(value) for value in place.lists]
        numbers = [each for value in place.lists for each in value if isinstance(each, int | float)]
        if lengths != rows or not set(place.words) & (_SCORE | _ANSWERED):
            continue
        share = all(0 <= number <= 1 for number in numbers) and any(not float(n).is_integer() for n in numbers)
        key = "score" if share else "prediction"
        if key not in claims.mapping:
            claims.put(key, place.path, "one for each row", f"{place.path}[*]")


def _is_feature(place: Place) -> bool:
    words = set(place.words)
    if not place.plain or not place.scalar or words & _NO_FEATURES or place.words[-1:] == ("id",):
        return False
    texts = [value for value in place.plain if isinstance(value, str)]
    if any(len(text) > _LONGEST_FEATURE_TEXT for text in texts):
        return False
    return not (texts and len(place.plain) > 20 and place.different > 0.9 * len(place.plain))


def _object(claims: Claims, keys: set[str]) -> str | None:
    """The shallowest object that has one of these keys."""
    found = [
        path for path, names in claims.outline.objects.items() if names.keys() & keys and path and "[*]" not in path
    ]
    return min(found, key=lambda path: (path.count("."), path)) if found else None


def _last_words(path: str) -> tuple[str, ...]:
    return words_of(path.replace("[*]", "").rpartition(".")[2])
