"""The judge's pages: they say what is known, let nothing become markup, and their curves are true."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

import judge_views as views
from mlcanary.catalog import Family, Gate, Verdict
from mlcanary.judge.contract import FeatureAssessment, GateAssessment
from mlcanary.judge.publish import page
from mlcanary.judge.publish.curves import Limit, Line, chart
from mlcanary.judge.publish.figures import duration, eta, figure, interval, log_evidence, nearest, signed, when
from mlcanary.judge.publish.view import JudgedCanary, View

HOSTILE = "<script>alert(1)</script>\"'&"


class Elements(HTMLParser):
    """Tags, attributes and text that a browser would see; fails where tags are not closed in order."""

    VOID = frozenset({"meta", "line", "polyline", "path"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.styled = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            self.styled += data
        else:
            self.text += data + "\n"


def bad_page() -> str:
    """The page of the bad canary."""
    return page.canary(views.BAD, views.bad(), views.view())


def test_the_list_tells_everything_about_every_canary() -> None:
    seen = Elements(page.index(views.view()))
    for said in (
        *(
            "clicks v2",
            "roll back\n2027-01-15 08:25:00Z",
            "log_loss +0.0491 nats\n+0.029 … +0.0692",
            "5,210\n46,890",
        ),
        *("8.31 of 6.21\nquality", "fraud 2026-11-24\neu / prod", "promote", "accuracy −0.06 pp\n−0.66 … +0.54"),
        *("split_mismatch\nshared_cause", "1.5 h", "no data"),
    ):
        assert f"{said}\n" in seen.text, said
    order = [seen.text.index(word) for word in ("roll back\n", "promote\n", "hold\n", "no data\n")]
    assert order == sorted(order)


def test_a_canary_s_page_tells_verdict_evidence_and_names() -> None:
    text = Elements(bad_page()).text
    for said in (
        *("clicks: v2 against v1", views.bad().assessment.text, "reason", "worse", "30 min", "not now"),
        *("0.4512 nats\nn 5,210", "0.4021 nats\nn 46,890", "+0.0491 nats\n+0.029 … +0.0692", "+0.02 nats"),
        *("device_type (guilty)", "tablet", "21.2 %", "8.1 %", "session_seconds"),
        *("Not held against the canary: errors +0.50 pp.", "warm_up", "source_broken"),
    ):
        assert f"{said}\n" in text, said
    assert (
        text.index("device_type (guilty)") < text.index("session_seconds") < text.index("age\n-0.62".replace("-", "−"))
    )
    assert "age (guilty)" not in text


def test_gates_say_why() -> None:
    text = Elements(page.canary(views.HELD, views.held(), views.view())).text
    assert "Decisions are suspended" in text
    for gate in views.held().assessment.gates:
        assert f"{gate.gate}\n{gate.why}\n" in text


def test_a_problem_and_a_standby_are_said_first() -> None:
    assert '<p class="bad">Prometheus is away</p>' in page.index(views.view(problem="Prometheus is away"))
    assert '<p class="bad">Prometheus is away</p>' in page.canary(
        views.BAD, views.bad(), views.view(problem="Prometheus is away")
    )
    standby = Elements(page.index(View(leader=False))).text
    assert "standby" in standby
    assert "No model has a canary" not in standby
    assert "No model has a canary beside a baseline now." in Elements(page.index(View(leader=True))).text


def test_a_canary_of_which_nothing_is_known_has_a_page() -> None:
    text = Elements(page.canary(views.NEW, views.new(), views.view())).text
    assert "The first 5 minutes are not judged." in text
    assert "Too little has been judged for a curve." in text
    assert "Measures" not in text


def test_nothing_from_a_label_becomes_markup() -> None:
    key = msgspec.structs.replace(views.BAD, cluster=HOSTILE, namespace=HOSTILE, model=HOSTILE, version=HOSTILE)
    key = msgspec.structs.replace(key, baseline=HOSTILE)
    found = msgspec.structs.replace(
        views.bad().assessment,
        key=key,
        reason=HOSTILE,
        text=HOSTILE,
        leading=HOSTILE,
        measures=(msgspec.structs.replace(views.UNKNOWN, name=HOSTILE, unit=HOSTILE, canary=0.5, tolerance=0.1),),
        features=(
            FeatureAssessment(HOSTILE, 1.0, HOSTILE, 0.1, 0.1),
            FeatureAssessment(HOSTILE, 1.0, "", 0.1, 0.1, True),
        ),
        gates=(GateAssessment(Gate.SHARED_CAUSE, HOSTILE),),
    )
    judged = JudgedCanary(found, views.PLAN, views.bad().curve, {HOSTILE: 2})
    hostile = views.view(canaries={key: judged}, problem=HOSTILE)
    known = [{"model": HOSTILE, "version": HOSTILE, "baseline": HOSTILE, "cluster": HOSTILE}]
    clean = Elements(bad_page())
    for html in (page.index(hostile), page.canary(key, judged, hostile), page.nothing(HOSTILE, known)):
        seen = Elements(html)
        assert set(seen.tags) <= set(clean.tags)
        assert seen.attributes <= clean.attributes
        assert seen.text.count(HOSTILE) >= 4
        assert not re.search(r"""href="[^"]*[<>'\s]""", html)


def test_pages_need_no_script_and_nothing_from_elsewhere() -> None:
    for html in (bad_page(), page.index(views.view())):
        seen = Elements(html)
        assert not {"script", "img", "link", "iframe", "object", "form"} & set(seen.tags)
        assert not {name for name in seen.attributes if name.startswith("on")}
        assert "url(" not in seen.styled
        assert "http" not in html


def test_both_arms_of_light_and_dark_are_styled() -> None:
    styled = Elements(bad_page()).styled
    assert "color-scheme:light dark" in styled
    light, dark = styled.split("@media(prefers-color-scheme:dark){:root{", 1)
    for name in ("--bad", "--good", "--c0", "--c1", "--c2", "--c3", "--c4"):
        assert f"{name}:#" in light
        assert f"{name}:#" in dark


# --- curves


def lines_of(svg: str) -> list[list[tuple[float, float]]]:
    """Points of the drawn lines."""
    found = re.findall(r'<polyline class="line c\d" points="([^"]*)"', svg)
    return [[(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())] for text in found]


def level(svg: str) -> float:
    """Height of the first threshold."""
    found = re.search(r'class="limit bad" x1="[^"]*" x2="[^"]*" y1="([^"]*)"', svg)
    assert found is not None
    return float(found[1])


def test_a_line_crosses_the_threshold_where_the_evidence_does() -> None:
    points = [(1000.0 + 30.0 * k, 0.1 * k) for k in range(101)]
    svg = chart("log E", [Line("quality", points)], [Limit("roll back at", 6.2)])
    (drawn,) = lines_of(svg)
    assert len(drawn) == 101
    height = level(svg)
    assert [y < height - 0.05 for _, y in drawn] == [value > 6.2 for _, value in points]
    assert [x for x, _ in drawn] == sorted(x for x, _ in drawn)


def test_a_single_crossing_survives_the_thinning() -> None:
    points = [(30.0 * k, 7.0 if k == 4321 else -0.5) for k in range(20_000)]
    svg = chart("log E", [Line("quality", points)], [Limit("roll back at", 6.2)])
    (drawn,) = lines_of(svg)
    assert len(drawn) <= 402
    assert sum(y < level(svg) for _, y in drawn) == 1


def test_overwhelming_evidence_does_not_flatten_the_threshold() -> None:
    points = [(30.0 * k, float(k * k)) for k in range(100)]
    svg = chart("log E", [Line("errors", points)], [Limit("roll back at", 6.2)])
    assert level(svg) < 200.0
    assert all(0.0 <= y <= 250.0 for line in lines_of(svg) for _, y in line)
    assert "errors <b>9801.00</b>" in svg


def test_a_chart_is_told_in_words() -> None:
    points = [(views.START, 0.0), (views.START + 60.0, 7.5)]
    svg = chart(
        "log E that it is worse", [Line("errors", points)], [Limit("roll back at", 6.2)], (views.START, "since")
    )
    words = (
        "log E that it is worse, 2027-01-15 08:00:00Z to 2027-01-15 08:01:00Z. Now: errors 7.50; roll back at 6.20. "
        "since 2027-01-15 08:00:00Z."
    )
    assert f'role="img" aria-label="{words}"' in svg
    assert f"<title>{words}</title>" in svg


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)]])
def test_a_chart_without_a_curve_says_so(points: list[tuple[float, float]]) -> None:
    assert "Too little has been judged" in chart("log E", [Line("errors", points)], [Limit("roll back at", 6.2)])


@pytest.mark.parametrize("span", [1.0, 45.0, 600.0, 5400.0, 86_400.0, 30 * 86_400.0, 3 * 365 * 86_400.0])
def test_every_span_of_time_has_a_few_ticks(span: float) -> None:
    points = [(views.START + span * k / 10, 0.1) for k in range(11)]
    svg = chart("log E", [Line("errors", points)], [Limit("roll back at", 6.2)])
    assert 1 <= len(re.findall(r'text-anchor="middle"', svg)) <= 6


def test_different_thresholds_are_named() -> None:
    found = views.bad().assessment
    other = tuple(
        msgspec.structs.replace(f, threshold=4.61 if f.name is Family.ERRORS else f.threshold) for f in found.families
    )
    judged = JudgedCanary(msgspec.structs.replace(found, families=other), views.PLAN, views.bad().curve)
    html = page.canary(views.BAD, judged, views.view())
    assert ">errors 4.61</text>" in html
    assert ">latency quality business features 6.21</text>" in html


# --- figures


def test_figures_have_the_unit_of_their_measure() -> None:
    share = views.measure("errors", Family.ERRORS, (0.0213, 0.01), 0.002, 1.0)
    auc = views.measure("auc", Family.QUALITY, (0.81234, 0.82), 0.002, 1.0)
    loss = views.measure("log_loss", Family.QUALITY, (0.4512, 0.4), 0.01, 1.0, unit="nats")
    assert [figure(m, m.canary) for m in (share, auc, loss)] == ["2.13 %", "0.8123", "0.4512 nats"]
    assert [signed(m, m.difference) for m in (share, auc, loss)] == ["+1.13 pp", "−0.0077", "+0.0512 nats"]
    assert [interval(m) for m in (share, auc, loss)] == [
        "+0.93 … +1.33",
        "−0.0097 … −0.0057",
        "+0.0412 … +0.0612",
    ]
    half = msgspec.structs.replace(share, upper=None)
    assert [interval(half), interval(views.UNKNOWN), figure(auc, None)] == ["+0.93 … –", "–", "–"]


def test_times_and_numbers_are_as_people_say_them() -> None:
    assert [duration(s) for s in (0.0, 89.0, 91.0, 5401.0, 130_000.0, None, float("inf"))] == [
        *("0 s", "89 s", "2 min", "1.5 h", "1.5 d", "–", "–"),
    ]
    assert (when(0.0), log_evidence(-0.5), log_evidence(None)) == ("1970-01-01 00:00:00Z", "−0.50", "–")


def test_once_there_is_a_decision_none_is_expected() -> None:
    assert [eta(views.assessment(views.BAD, v, eta_seconds=120.0)) for v in Verdict] == ["–", "–", "2 min", "2 min"]


def test_the_nearest_family_is_the_one_that_may_decide_next() -> None:
    found = views.assessment(
        views.BAD, Verdict.HOLD, families=views.families({Family.LATENCY: 2.0, Family.ERRORS: 1.0})
    )
    family = nearest(found)
    assert family is not None
    assert family.name is Family.LATENCY
    informs = tuple(msgspec.structs.replace(f, threshold=None) for f in found.families)
    assert nearest(msgspec.structs.replace(found, families=informs)) is None
