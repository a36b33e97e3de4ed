"""Readings over HTTP: a server that answers what a test says, and a real Prometheus over history."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import promql_parser
import pytest

from judge_world import BASELINE, CANARY, MODEL, Sidecar, World
from mlcanary.catalog import BY_NAME
from mlcanary.judge.intake import prometheus as judged
from mlcanary.judge.intake import reading as read
from mlcanary.judge.intake.counters import Counters
from mlcanary.judge.intake.prometheus import PrometheusReader
from mlcanary.judge.intake.reading import Reading, ReadingError
from mlcanary.judge.intake.roles import find_arms
from own_ports import free_port
from prometheus_tools import prometheus, run

Answer = tuple[int, dict[str, str], bytes]


class API:
    """Answers queries by a function of the form, and remembers what was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[dict[str, str]], Answer] = lambda form: vector()


def vector(*series: tuple[dict[str, str], str], **more: object) -> Answer:
    """A whole answer with an instant vector."""
    data = {"resultType": "vector", "result": [{"metric": labels, "value": [1.5, value]} for labels, value in series]}
    return 200, {}, json.dumps({"status": "success", "data": data, **more}).encode()


@contextmanager
def api() -> Iterator[API]:
    """A server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in urllib.parse.parse_qs(body).items()}
            known.asked.append(form)
            known.headers.append(dict(self.headers))
            status, headers, answer = known.answer(form)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        known = API(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield known
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def reader(url: str, **options: object) -> Iterator[PrometheusReader]:
    """A reader that is closed afterwards."""
    made = PrometheusReader(url, **{"timeout": 5.0, **options})  # type: ignore[arg-type]  # options of one call
    try:
        yield made
    finally:
        made.close()


def info(model: str, version: str, role: str) -> tuple[dict[str, str], str]:
    return {"__name__": read.INFO, "model": model, "version": version, "role": role}, "1"


def test_queries_are_promql_over_families_of_the_catalogue() -> None:
    with api() as served, reader(served.url, labels={"namespace": 'a"b\\c'}) as made:
        served.answer = lambda form: vector(info("m", "v1", "baseline"), info("m", "v2", "canary"))
        made.read(60.0)
    assert len(served.asked) == 5
    for form in served.asked:
        promql_parser.parse(form["query"])
        assert form["time"] == "60.0"
        assert r'namespace="a\"b\\c"' in form["query"]
    bases = {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"mlcanary_\w+", served.asked[1]["query"])
    }
    assert {name for name in bases if "mature_user_bucket" not in name} <= BY_NAME.keys()


def test_own_labels_are_those_of_the_catalogue() -> None:
    for name, own in read.COUNTERS.items():
        spec = BY_NAME.get(re.sub(r"_(bucket|sum|count)$", "", name))
        if spec is not None:
            expected = (*spec.labels, "le") if name.endswith("_bucket") else spec.labels
            assert ("model", "version", *own) == expected, name


def test_series_are_values_by_name_and_labels_and_nan_is_left_out() -> None:
    metric = {"__name__": read.PREDICTIONS, "model": "m", "version": "v1", "instance": "a", "predicted": "1"}

    def answer(form: dict[str, str]) -> Answer:
        if "model_info" in form["query"]:
            return vector(info("m", "v1", "baseline"), info("m", "v2", "canary"), info("other", "v1", "baseline"))
        if form["query"].startswith("max by"):
            return vector(({"model": "m", "feature": "f"}, "0.5")) if read.ROWS in form["query"] else vector()
        return vector((metric, "12"), ({**metric, "instance": "b"}, "NaN"))

    with api() as served, reader(served.url + "/") as made:
        served.answer = answer
        for at in (60.0, 90.0):  # the second time labels are known by their spelling
            found = made.read(at)
            assert (found.at, found.not_numbers) == (at, 1)
            assert [(x.name, x.labels, x.value) for x in found.series[3:]] == [
                (read.PREDICTIONS, {k: v for k, v in metric.items() if k != "__name__"}, 12.0),
                (read.ROWS, {"model": "m", "feature": "f"}, 0.5),
            ]
        assert 'model=~"m"' in served.asked[1]["query"]


def test_profiles_are_asked_for_again_only_when_exporters_or_edges_change() -> None:
    edges = {"__name__": read.EDGES, "model": "m", "instance": "a", "edges": "e1"}
    told = [(edges, "1")]
    profile = [({"model": "m", "feature": "f", "bin": "+Inf"}, "1")]

    def answer(form: dict[str, str]) -> Answer:
        query = form["query"]
        if "model_info" in query:
            return vector()
        if query.startswith("max by"):
            return vector(*profile) if read.REFERENCE in query else vector()
        return vector(*told)

    def asked() -> int:
        found = made.read(60.0, ["m"])
        assert [x.labels["bin"] for x in found.series if x.name == read.REFERENCE] == expected
        count = sum(form["query"].startswith("max by") for form in served.asked)
        served.asked.clear()
        return count

    with api() as served, reader(served.url) as made:
        served.answer = answer
        expected = ["+Inf"]
        assert [asked(), asked()] == [3, 0]
        told.append(({**edges, "instance": "b"}, "1"))
        assert [asked(), asked()] == [3, 0]
        told[:] = [({**edges, "edges": "e2"}, "1")]
        profile.append(({"model": "m", "feature": "f", "bin": "0.5"}, "1"))
        expected.append("0.5")
        assert [asked(), asked()] == [3, 0]
        told[:] = [({**edges, "edges": "e3"}, "1")]
        profile.clear()
        expected.clear()
        assert [asked(), asked()] == [3, 3]  # nothing was found: perhaps it comes with the next scrape


def test_models_are_asked_in_parts_and_by_their_very_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "SERIES_PER_QUERY", 4_000)
    names = ["a.b", "c|d", 'e"f', "g\\h", "i\nj"]
    with api() as served, reader(served.url) as made:
        made.read(60.0, names)
        asked = [form["query"] for form in served.asked if "predictions_total" in form["query"]]
    assert len(asked) == 3
    found = []
    for query in asked:
        selector = promql_parser.parse(query)
        assert isinstance(selector, promql_parser.VectorSelector)
        (matcher,) = [m for m in selector.matchers.matchers if m.name == "model"]
        found += [name for name in names if re.fullmatch(matcher.value, name)]
        assert not re.fullmatch(matcher.value, "axb")
    assert sorted(found) == sorted(names)


REFUSED = {
    "error": (422, {}, b'{"status":"error","errorType":"execution","error":"too many samples"}', "max-samples"),
    "bad query": (400, {}, b'{"status":"error","errorType":"bad_data","error":"parse error"}', "matchers"),
    "error with 200": (200, {}, b'{"status":"error","error":"odd"}', "log of Prometheus"),
    "redirect": (302, {"Location": "/elsewhere"}, b"", "must not redirect"),
    "no permission": (403, {}, b"<html>no</html>", "bearer_token_file"),
    "another server": (200, {}, b"<html>hello</html>", "prometheus.url"),
    "bad UTF-8": (200, {}, b'{"status":"success","data":{"resultType":"vec\xff"}}', "prometheus.url"),
    "no data": (200, {}, b'{"status":"success"}', "log of Prometheus"),
    "matrix": (200, {}, b'{"status":"success","data":{"resultType":"matrix","result":[]}}', "prometheus.url"),
    "broken value": (*vector((info("m", "v", "canary")[0], "many")), "prometheus.url"),
    "partial": (*vector(warnings=["store unreachable"]), "prometheus.url"),
    "noted": (*vector(infos=["metric might not be a counter"]), "prometheus.url"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_anything_but_a_complete_answer_is_no_reading(case: str) -> None:
    status, headers, body, hint = REFUSED[case]
    with api() as served, reader(served.url) as made:
        served.answer = lambda form: (status, headers, body)
        with pytest.raises(ReadingError) as caught:
            made.read(60.0)
        assert caught.value.refused
        assert hint in caught.value.hint
        assert served.url in str(caught.value)
        assert len(served.asked) == 1  # nothing was followed or repeated


def test_overloaded_or_absent_server_is_unreachable() -> None:
    with api() as served, reader(served.url) as made:
        served.answer = lambda form: (503, {}, b"Service Unavailable")
        with pytest.raises(ReadingError, match="503") as caught:
            made.now()
        assert not caught.value.refused
    with reader(f"http://127.0.0.1:{free_port()}") as made:
        with pytest.raises(ReadingError) as caught:
            made.read(0.0)
        assert not caught.value.refused
        assert "is Prometheus up" in caught.value.hint


def test_answer_that_is_cut_off_is_unreachable() -> None:
    with api() as served, reader(served.url) as made:
        served.answer = lambda form: (200, {"Content-Length": "1000", "Connection": "close"}, b'{"status":')
        with pytest.raises(ReadingError) as caught:
            made.read(0.0)
        assert not caught.value.refused


def test_answer_beyond_the_cap_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged, "LARGEST_ANSWER", 1000)
    with api() as served, reader(served.url) as made:
        served.answer = lambda form: (200, {}, b" " * 5000)
        with pytest.raises(ReadingError, match="beyond") as caught:
            made.read(0.0)
        assert caught.value.refused


def test_token_is_read_for_every_query_and_proxies_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    token = tmp_path / "token"
    with api() as served, reader(served.url, bearer_token_file=str(token)) as made:
        with pytest.raises(ReadingError, match="token") as caught:
            made.read(0.0)
        assert caught.value.refused
        assert served.asked == []
        for text in ("first", "second"):
            token.write_text(text + "\n")
            made.read(0.0)
            assert served.headers[-1]["Authorization"] == f"Bearer {text}"


def history(begin: float) -> tuple[Sidecar, World, list[str]]:
    """An hour of one sidecar as a world in memory and as OpenMetrics lines; a restart in the middle."""
    world, side, lines = World(), Sidecar("pod-0:10877", cluster="west"), []
    side.play(BASELINE, "baseline")
    side.play(CANARY, "canary")
    for label in ("0.5", "+Inf"):
        side.say(read.REFERENCE, 0.5, model=MODEL, feature="age", bin=label)
    side.say(read.ROWS, 1000.0, model=MODEL, feature="age")
    side.say(read.MISSING, 0.0, model=MODEL, feature="age")
    side.say(read.UP, 1.0, source="/logs/a.jsonl")
    for i in range(240):
        if i == 130:
            side.restart()
        side.requests(BASELINE, 9 + i % 3, i % 2)
        side.requests(CANARY, 3, i % 5 == 0)
        for version in (BASELINE, CANARY):
            side.loss(version, 0.1 * (i % 7), 3)
            side.feature(version, "age", "0.5", 1 + i % 2)
            side.feature(version, "age", "+Inf", 1)
        at = begin + 15.0 * i
        world.scrape(at, side)
        place = side.labels
        for (name, labels), value in side.page().items():
            text = ",".join(f'{k}="{v}"' for k, v in {**dict(labels), **place}.items())
            lines.append(f"{name}{{{text}}} {value!r} {at:.3f}\n")
    return side, world, lines


def by_series(reading: Reading) -> dict[object, float]:
    return {(x.name, *sorted(x.labels.items())): x.value for x in reading.series}


def test_real_prometheus(tmp_path: Path) -> None:
    begin = 1_760_000_000.0
    _, world, lines = history(begin)
    (tmp_path / "history.om").write_text("".join([*lines, "# EOF\n"]))
    status, output = run(
        "promtool", "tsdb", "create-blocks-from", "openmetrics", tmp_path / "history.om", tmp_path / "data"
    )
    assert status == 0, output
    configuration = {"global": {"scrape_interval": "1h"}, "scrape_configs": []}
    with prometheus(tmp_path, configuration) as url, reader(url) as made:
        assert made.now() > begin
        found, expected = Counters(), Counters()
        for i in range(1, 11):
            at = begin + 330.0 * i + 7.0
            reading, same = made.read(at), world.read(at)
            assert by_series(reading) == by_series(same)
            gains = found.take(reading, find_arms(reading))
            assert gains == expected.take(same, find_arms(same))
            assert [each.pages for each in gains] == [(1, 1)]
        assert found.resets == expected.resets == 2
        assert made.read(begin - 1000.0).series == []
        assert made.read(begin + 15.0 * 239 + 301.0).series == []  # past the lookback
        with reader(url, labels={"cluster": "east"}) as elsewhere:
            assert elsewhere.read(begin + 60.0).series == []
        with reader(url, labels={"bad-name": "x"}) as broken, pytest.raises(ReadingError, match="HTTP 400"):
            broken.read(begin)
        with reader(url, timeout=1e-9) as hasty, pytest.raises(ReadingError):
            hasty.read(begin)
