"""The exporter's pages over real HTTP: negotiation, landing page, reload."""

from __future__ import annotations

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest as as_text
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter_process import ExporterProcess, total
from mlcanary.catalog import BY_NAME
from mlcanary.errors import ConfigError
from mlcanary.exposition.families import families
from mlcanary.exposition.landing import render_landing
from mlcanary.exposition.page import Page, SourceView
from mlcanary.exposition.process import ProcessMetrics
from mlcanary.exposition.text import OPENMETRICS_TYPE, TEXT_TYPE
from mlcanary.exposition.web import exporter_application
from mlcanary.records import ModelKey, Prediction, Reject
from mlcanary.webserver.server import serving
from monitored_traffic import fed, plan, traffic

TEXT, OPENMETRICS = b"text page\n" * 100, b"openmetrics page\n# EOF\n"


@asynccontextmanager
async def served(
    page: Page, refusal: str = "", missing: str = "", came: Callable[[Hashable], None] = print
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a running exporter application."""

    async def reload() -> None:
        if refusal:
            raise ConfigError(refusal)

    application = exporter_application(lambda: page, ready=lambda: missing, reload=reload, web_config=None, came=came)
    async with (
        serving(application, ["127.0.0.1:0"], None) as addresses,
        aiohttp.ClientSession(f"http://{addresses[0]}", auto_decompress=False) as client,
    ):
        yield client


async def test_who_reads_a_page_is_noted_and_who_asks_for_health_is_not() -> None:
    seen: list[Hashable] = []
    async with served(Page([TEXT], [OPENMETRICS]), came=seen.append) as client:
        for path in ("/metrics", "/", "/-/healthy", "/-/ready", "/metrics"):
            await client.get(path, headers={"User-Agent": "Prometheus/3.5.0"})
    assert seen == [("127.0.0.1", "Prometheus/3.5.0", path) for path in ("/metrics", "/", "/metrics")]


@pytest.mark.parametrize(
    ("accept", "body", "content_type"),
    [
        ("", TEXT, TEXT_TYPE),
        ("*/*", TEXT, TEXT_TYPE),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT, TEXT_TYPE),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", OPENMETRICS, OPENMETRICS_TYPE),
    ],
)
async def test_the_scraper_chooses_the_format(accept: str, body: bytes, content_type: str) -> None:
    async with served(Page([TEXT], [OPENMETRICS])) as client:
        for packed in (False, True):
            headers = {"Accept": accept, "Accept-Encoding": "gzip" if packed else "identity"}
            async with client.get("/metrics", headers=headers) as answer:
                assert answer.status == 200
                assert answer.headers["Content-Type"] == content_type
                assert answer.headers["Vary"] == "Accept, Accept-Encoding"
                assert answer.headers.get("Content-Encoding") == ("gzip" if packed else None)
                received = await answer.read()
                assert (gzip.decompress(received) if packed else received) == body


async def test_health_readiness_and_unknown_paths() -> None:
    async with served(Page([TEXT], [OPENMETRICS]), missing="still reading") as client:
        for path, status, text in (
            ("/-/healthy", 200, "healthy\n"),
            ("/-/ready", 503, "still reading\n"),
            ("/nowhere", 404, "404: Not Found"),
        ):
            async with client.get(path) as answer:
                assert (answer.status, await answer.text()) == (status, text)


async def test_reload_answers_what_became_of_it() -> None:
    async with served(Page([TEXT], [OPENMETRICS])) as client:
        async with client.post("/-/reload") as answer:
            assert (answer.status, await answer.text()) == (200, "reloaded\n")
        async with client.get("/-/reload") as answer:
            assert answer.status == 405
    async with (
        served(Page([TEXT], [OPENMETRICS]), refusal="f.yml:3: wrong") as client,
        client.put("/-/reload") as answer,
    ):
        assert answer.status == 500
        assert await answer.text() == "f.yml:3: wrong\nthe former configuration stays in force\n"


class Elements(HTMLParser):
    """Names of all elements and attributes that a browser would see, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</td></table><iframe>",
    "&lt;script&gt;",
    "{{7*7}}",
)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_nothing_from_a_log_becomes_markup(attack: str) -> None:
    records = [*traffic(200), Prediction(ModelKey(attack, attack), 1_800_000_000.0, "x", {attack: 1}, attack, 0.5)]
    found = families(fed(records, plan()).samples(1_800_000_700.0))
    page = Page(
        [TEXT],
        [OPENMETRICS],
        families=found,
        sources=(SourceView(attack, False, attack, 5, 7), SourceView("ok", True, "", 0, 1)),
        rejects=((attack, Reject("json", attack, attack)),),
        warnings=(attack,),
        made_at=1_800_000_700.0,
    )
    async with served(page) as client, client.get("/") as answer:
        assert answer.content_type == "text/html"
        html = await answer.text()
    seen = Elements(html)
    clean = Elements(render_landing(Page([TEXT], [OPENMETRICS], families=found[:3]), "/metrics"))
    assert seen.tags <= clean.tags | {"table", "tr", "td", "th", "ul", "li", "b", "br", "code", "span", "div", "p"}
    assert seen.attributes <= {"lang", "charset", "name", "content", "class", "href"}
    assert seen.text.count(attack) >= 6


def test_the_landing_page_says_so_before_the_first_prediction() -> None:
    seen = Elements(render_landing(Page(), "/other"))
    assert "as of not yet" in seen.text
    assert "No prediction has been read yet" in seen.text


def as_families(text: str, *, openmetrics: bool) -> dict[str, tuple[str, str, list[str], float]]:
    """Type, help, samples and the value of each family of one sample."""
    parse = parse_openmetrics if openmetrics else parse_text
    found = parse(text)
    return {f.name: (f.type, f.documentation, [s.name for s in f.samples], f.samples[0].value) for f in found}


@pytest.mark.parametrize("openmetrics", [False, True])
def test_process_metrics_are_those_of_the_prometheus_client(openmetrics: bool) -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    pages = ProcessMetrics().render()
    theirs = as_openmetrics(registry) if openmetrics else as_text(registry)  # type: ignore[no-untyped-call]
    expected = as_families(theirs.decode(), openmetrics=openmetrics)
    found = as_families((pages[1] + b"# EOF\n" if openmetrics else pages[0]).decode(), openmetrics=openmetrics)
    assert list(found) == list(expected)
    assert {name: of[:3] for name, of in found.items()} == {name: of[:3] for name, of in expected.items()}
    for name, of in found.items():
        assert of[3] == pytest.approx(expected[name][3], rel=0.05, abs=0.05), name


def test_process_metrics_are_absent_where_nothing_can_be_read(tmp_path: Path) -> None:
    assert ProcessMetrics(tmp_path).render() == (b"", b"")
    (tmp_path / "stat").write_text("cpu 1 2\nbtime 1700000000\n")
    assert ProcessMetrics(tmp_path).render() == (b"", b"")


def post(url: str) -> tuple[int, str]:
    """Status and text of an empty POST."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_running_exporter_takes_a_good_configuration_and_refuses_a_broken_one(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    lines = [{"id": f"{i}", "model": "m", "version": "v", "score": i / 10, "label": i % 2} for i in range(10)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = tmp_path / "exporter.yml"
    text = "sources: [{path: predictions.jsonl}]\nmodels:\n  - name: m\n    objectives: {min_labels: %s}\n"
    config.write_text(text % 7)
    flags = ("--config.file", str(config), "--publish.interval", "200ms", "--poll.interval", "50ms")
    limit = {"name": "mlcanary_objective_threshold", "objective": "min_labels"}
    with ExporterProcess(*flags, log=tmp_path / "log") as exporter:
        page = exporter.wait_for(lambda page: total(page, "mlcanary_predictions_total") == 10)
        assert total(page, **limit) == 7
        address = f"http://{exporter.address}/-/reload"
        config.write_text(text % 9)
        assert post(address) == (200, "reloaded\n")
        page = exporter.wait_for(lambda page: total(page, **limit) == 9)
        assert total(page, **limit) == 9
        config.write_text(text % "many")
        status, words = post(address)
        assert status == 500
        assert words.startswith(f"{config}:4: models.0.objectives.min_labels: found 'many'; allowed: a number\n")
        page = exporter.wait_for(lambda page: total(page, "mlcanary_config_last_reload_successful") == 0)
        assert total(page, "mlcanary_config_last_reload_successful") == 0
        assert total(page, **limit) == 9
        assert total(page, "mlcanary_labeled_predictions_total") == 10
        config.write_text(text % 11)
        assert post(address)[0] == 200
        page = exporter.wait_for(lambda page: total(page, "mlcanary_config_last_reload_successful") == 1)
        assert total(page, **limit) == 11
        names = {name for name, _ in page}
        strangers = {n for n in names if n.startswith("mlcanary_") and _family(n) not in BY_NAME}
        assert strangers == set()


def _family(sample: str) -> str:
    if sample in BY_NAME:
        return sample
    return sample.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
