"""Whatever is rendered, both of prometheus-client's parsers read back exactly the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from mlcanary.catalog import BY_NAME, Kind
from mlcanary.exposition.families import families
from mlcanary.exposition.text import LineWriter, TextRenderer
from mlcanary.records import Sample

Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read_back(page: bytes, *, openmetrics: bool) -> Found:
    """Samples of a page by name and labels."""
    parse = parse_openmetrics if openmetrics else parse_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(page.decode())
        for sample in family.samples
    }


def as_read(samples: Sequence[Sample]) -> Found:
    """What a parser should find."""
    found: Found = {}
    for sample in samples:
        labels = zip(BY_NAME[sample.name].labels, sample.labels, strict=True)
        found[sample.name + sample.suffix, tuple(sorted(labels))] = sample.value
    return found


_NASTY = st.sampled_from(
    ['a"b', "a\nb", "a\\b", "\\n", "\\", '"', "\\\\n", "{}", "},", "# EOF", " ", "é日本\u2028", "\r", "\x00"]
)
_VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | _NASTY
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18).map(float)
_SAMPLES = st.lists(
    st.builds(lambda m, v, x: Sample("mlcanary_label_join_pending", "", (m, v), x), _VALUES, _VALUES, _NUMBERS)
    | st.builds(
        lambda m, v, p, x: Sample("mlcanary_predictions_total", "", (m, v, p), abs(x)),
        _VALUES,
        _VALUES,
        _VALUES,
        _NUMBERS,
    )
    | st.builds(lambda x: Sample("mlcanary_label_join_capacity", "", (), x), _NUMBERS),
    max_size=12,
    unique_by=lambda sample: sample[:3],
)


@given(_SAMPLES)
def test_both_parsers_read_back_exactly_what_was_rendered(samples: list[Sample]) -> None:
    text, openmetrics = TextRenderer().render(families(samples))
    assert read_back(text, openmetrics=False) == as_read(samples)
    assert read_back(openmetrics, openmetrics=True) == as_read(samples)


@given(_SAMPLES)
def test_a_second_page_from_kept_prefixes_is_the_same(samples: list[Sample]) -> None:
    renderer = TextRenderer()
    found = families(samples)
    assert renderer.render(found) == renderer.render(found)
    assert renderer.series == len(samples)


@given(_NUMBERS)
def test_numbers_keep_every_bit(number: float) -> None:
    sample = Sample("mlcanary_label_join_capacity", "", (), number)
    text, _ = TextRenderer().render(families([sample]))
    written = text.decode().split()[-1]
    assert math.copysign(1, float(written)) == math.copysign(1, number) or number == 0
    assert float(written) == number


_ANY = st.floats() | st.floats(1e-6, 1e-3) | st.integers(-(10**17), 10**17).map(float)


@given(st.lists(_ANY, min_size=1, max_size=30))
def test_a_run_is_written_as_python_writes_each_number(values: list[float]) -> None:
    samples = [Sample("mlcanary_log_lines_total", "", (str(i),), value) for i, value in enumerate(values)]
    block = LineWriter().write((), samples)["mlcanary_log_lines_total"]
    written = [line.rsplit(" ", 1)[1] for line in block.lines.decode().splitlines()]
    assert written == ["0" if value == 0 else repr(value).removesuffix(".0") for value in values]


def test_histograms_and_summaries_are_read_as_what_they_are() -> None:
    key = ("m", "v")
    samples = [
        Sample("mlcanary_prediction_latency_seconds", "_bucket", (*key, "0.1"), 1.0),
        Sample("mlcanary_prediction_latency_seconds", "_bucket", (*key, "+Inf"), 2.0),
        Sample("mlcanary_prediction_latency_seconds", "_sum", key, 0.7),
        Sample("mlcanary_prediction_latency_seconds", "_count", key, 2.0),
        Sample("mlcanary_log_loss", "_sum", key, 3.5),
        Sample("mlcanary_log_loss", "_count", key, 2.0),
    ]
    text, openmetrics = TextRenderer().render(families(samples))
    both = (parse_text(text.decode()), parse_openmetrics(openmetrics.decode()))  # type: ignore[no-untyped-call]
    for found in map(list, both):
        assert {(family.name, family.type) for family in found} == {
            ("mlcanary_prediction_latency_seconds", "histogram"),
            ("mlcanary_log_loss", "summary"),
        }
        assert sum(len(family.samples) for family in found) == len(samples)


def test_families_come_in_the_order_of_the_catalogue_and_only_from_it() -> None:
    one, two = Sample("mlcanary_series", "", (), 1.0), Sample("mlcanary_label_join_pending", "", ("m", "v"), 1.0)
    assert [family.spec.name for family in families([one, two])] == [two.name, one.name]
    with pytest.raises(KeyError, match="mlcanary_invented"):
        families([Sample("mlcanary_invented", "", (), 1.0)])


def test_a_sample_with_a_wrong_number_of_labels_cannot_be_rendered() -> None:
    with pytest.raises(ValueError, match="zip"):
        TextRenderer().render(families([Sample("mlcanary_label_join_pending", "", ("m",), 1.0)]))


def test_counters_lose_their_suffix_only_in_the_openmetrics_head() -> None:
    sample = Sample("mlcanary_predictions_total", "", ("m", "v", "1"), 1.0)
    text, openmetrics = TextRenderer().render(families([sample]))
    assert BY_NAME[sample.name].kind is Kind.COUNTER
    assert b"# TYPE mlcanary_predictions_total counter\n" in text
    assert b"# TYPE mlcanary_predictions counter\n" in openmetrics
    assert openmetrics.endswith(b'mlcanary_predictions_total{model="m",version="v",predicted="1"} 1\n# EOF\n')
