"""The judge's word on the candidate of a release, from the judge's own series, and the ground that it stands on.

Guarantee: a word counts only of a judge that leads, whose figures are at most `max_age` old and which has read
Prometheus within `READ_SECONDS`. What is stale, absent, ambiguous (two places, two leaders that differ) or NaN gives
no_data with the reason, never a word. Queries are templates filled with configured names only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from mlcanary.catalog import ACTION_ROLLBACK, Verdict
from mlcanary.handler.core.judgement import Judgement, Word
from mlcanary.handler.evidence.prometheus import EvidenceError, Prometheus, Sample, only_value, selector
from mlcanary.handler.evidence.recorded import Matchers
from mlcanary.handler.evidence.sources import sources_up
from mlcanary.handler.evidence.verdicts import READ_SECONDS
from mlcanary.handler.settings import TargetPlan

_LEADS = "and on (job, instance) mlcanary_judge_leader == 1"
_PLACE = "cluster, namespace"
_WORDS = {
    Verdict.PROMOTE: Word.HEALTHY,
    Verdict.ROLLBACK: Word.UNHEALTHY,
    Verdict.HOLD: Word.INCONCLUSIVE,
    Verdict.NO_DATA: Word.NO_DATA,
}


async def judge_of(prometheus: Prometheus, plan: TargetPlan, version: str, *, now: float | None = None) -> Judgement:
    """What is known of a version of the target's model now. Raises EvidenceError if the ground cannot be told.

    Input: with `now`, the caller's clock right before, `judged` is in that clock: clocks of two machines differ, and a
    judge whose clock is ahead would seem to have judged what it has not seen yet.
    """
    answers = await prometheus.query_all(queries(plan, version))
    found = find(answers, plan.evidence.max_age)
    if now is None or not found.known or not answers["lag"]:
        return found
    return dataclasses.replace(found, judged=now - answers["lag"][0].value)


def queries(plan: TargetPlan, version: str) -> dict[str, str]:
    """Query templates by name."""
    of_model: Matchers = (("model", plan.model), *plan.labels)
    judged: Matchers = (*of_model, ("version", version))
    verdict = selector("mlcanary_judge_verdict", judged)
    info = selector("mlcanary_model_info", of_model)
    alerts = (("alertstate", "firing"), ("action", ACTION_ROLLBACK), *judged)
    window = f"{max(1, int(plan.evidence.serving_window * 1000))}ms"
    trials = selector("mlcanary_judge_trials", (*judged, ("arm", "canary")))
    return {
        "verdict": f"max by ({_PLACE}, verdict) ({verdict} {_LEADS}) == 1",
        "age": f"max(time() - timestamp({verdict}))",
        "read": f"min(time() - mlcanary_judge_read_timestamp_seconds and on (job, instance) ({verdict} {_LEADS}))",
        "expand": f"min by ({_PLACE}) ({selector('mlcanary_judge_may_expand', judged)} {_LEADS})",
        "trials": f"max by ({_PLACE}) ({trials} {_LEADS})",
        "judged": f"min by ({_PLACE}) ({selector('mlcanary_judge_judged_timestamp_seconds', judged)} {_LEADS})",
        "eta": f"max by ({_PLACE}) ({selector('mlcanary_judge_eta_seconds', judged)} {_LEADS})",
        "lag": f"max by ({_PLACE}) (time() - {selector('mlcanary_judge_judged_timestamp_seconds', judged)} {_LEADS})",
        "gates": f"max by (gate) ({selector('mlcanary_judge_gate', judged)}) == 1",
        "roles": f"group by (version, role) ({info})",
        "serving": f"sum by (version) (rate({selector('mlcanary_predictions_total', of_model)}[{window}]))",
        "up": sources_up(info),
        "firing": f"count by (measure) ({selector('ALERTS', alerts)})",
    }


def find(answers: Mapping[str, Sequence[Sample]], max_age: float) -> Judgement:
    """What the answers say. Raises EvidenceError if whether the sources are up is ambiguous."""
    why = ""
    word, expand, trials, judged, eta = Word.NO_DATA, 0.0, 0.0, 0.0, None
    try:
        word, why = _word(answers, max_age)
        if not why:
            expand, trials, judged = (_figure(answers, name) for name in ("expand", "trials", "judged"))
            eta = only_value(answers["eta"], "ETA of the judge")
    except EvidenceError as error:
        word, why = Word.NO_DATA, str(error)
    known = not why
    if word is Word.NO_DATA and known:
        why = "the judge has no data of it"
    return Judgement(
        word=word,
        why=why,
        known=known,
        may_expand=known and expand == 1.0,
        trials=trials if known else 0.0,
        judged=judged if known else 0.0,
        eta=eta if known else None,
        gates=tuple(sorted(sample.label("gate") for sample in answers["gates"])),
        sources_up=only_value(answers["up"], "mlcanary_up") == 1.0,
        roles=tuple(sorted((s.label("version"), s.label("role")) for s in answers["roles"])),
        serving=frozenset(s.label("version") for s in answers["serving"] if s.value > 0),
        firing=tuple(sorted(sample.label("measure") for sample in answers["firing"])),
    )


def _word(answers: Mapping[str, Sequence[Sample]], max_age: float) -> tuple[Word, str]:
    """The word, and why it does not count ("" if it does). Raises EvidenceError for what is ambiguous."""
    verdicts = answers["verdict"]
    if not verdicts:
        return Word.NO_DATA, "no judge that leads speaks of it"
    if len(verdicts) > 1:
        return Word.NO_DATA, f"{len(verdicts)} verdicts at once: {', '.join(sorted(map(_told, verdicts)))}"
    age, read = only_value(answers["age"], "age of the verdict"), only_value(answers["read"], "time of the judge")
    if age is None or age > max_age:
        return Word.NO_DATA, f"the verdict is old: {_seconds(age)}"
    if read is None or read > READ_SECONDS:
        return Word.NO_DATA, f"the judge has not read Prometheus lately: {_seconds(read)}"
    found = next((word for verdict, word in _WORDS.items() if verdict == verdicts[0].label("verdict")), None)
    if found is None:
        return Word.NO_DATA, f"unknown verdict {verdicts[0].label('verdict')[:40]!r}"
    return found, ""


def _figure(answers: Mapping[str, Sequence[Sample]], name: str) -> float:
    """A figure of the judge, 0 while it has none. Raises EvidenceError."""
    return only_value(answers[name], f"{name} of the judge") or 0.0


def _told(sample: Sample) -> str:
    places = [label for name in ("cluster", "namespace") if (label := sample.label(name))]
    return " ".join([sample.label("verdict"), *places])


def _seconds(age: float | None) -> str:
    return "age unknown" if age is None else f"{age:.0f} s"
