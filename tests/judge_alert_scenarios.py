"""Scenarios of the alerts about the judge and its verdicts, and of the tier that acts."""

from __future__ import annotations

from alert_worlds import (
    CANARY,
    FAST,
    HEALTHY,
    INFO,
    JUDGE,
    MODEL,
    ROLLBACK,
    SLOW,
    WARNING,
    Course,
    Scenario,
    Series,
    baseline,
    canary,
    fires,
    gauge,
    judge,
    silent,
    steady,
    world,
)
from mlcanary.catalog import Verdict
from promtool_cases import Labels

OF = {**JUDGE, **CANARY}
OUTAGE: Course = ((0, 1.0), (30, 0.0), (60, 1.0))


def of_the_judge() -> list[Scenario]:
    """Verdicts, decisions that do not come, and the judge itself."""
    return [*_rollback(), *_promotion(), *_stuck(), *_change(), *_down()]


def of_the_tiers() -> list[Scenario]:
    """Who asks for a rollback of a canary that breaks after an hour: the verdict or the windowed rules, never both."""
    alert, errors = "MLCanaryErrorsAboveBaseline", {"severity": "critical", "measure": "errors"}
    inform, act = {**errors, "action": "inform"}, {**errors, "action": "rollback"}
    broken: Course = ((0, 0.002), (60, 0.3), (90, 0.002))
    for_good = world(baseline(), canary(failed=broken[:2]))
    elsewhere = {key.replace('model="', 'namespace="b",model="'): values for key, values in judge().items()}
    return [
        fires(
            alert,
            "a judge judges the canary: both windows inform",
            world(baseline(), canary(failed=broken)) | judge(),
            (67, ({**FAST, **inform},)),
            (85, ({**FAST, **inform}, {**SLOW, **inform})),
            resolved=175,
        ),
        Scenario(
            alert,
            "the judge dies at 75; its series go stale at 80, and the windows wait their `for` again, then act",
            for_good | judge((75, None)),
            (
                (79, ({**FAST, **inform}, {**SLOW, **inform})),
                (90, ({**FAST, **act}, {**SLOW, **inform})),
                (130, ({**FAST, **act}, {**SLOW, **act})),
            ),
            (10,),
        ),
        Scenario(
            alert,
            "a judge judges the same version in another namespace",
            for_good | elsewhere,
            ((70, ({**FAST, **act},)),),
            (10,),
        ),
    ]


def _rollback() -> list[Scenario]:
    verdict = {**CANARY, **ROLLBACK, "measure": "verdict", "window": "judge"}
    alert, says = "MLCanaryRollbackVerdict", ((30, Verdict.ROLLBACK), (60, None))
    return [
        fires(
            alert,
            "the judge finds the canary worse by its labels; the canary ends half an hour later",
            HEALTHY | judge(*says) | _evidence("quality", 9.1),
            (30, (verdict,)),
            (50, (verdict,)),
            resolved=70,
        ),
        fires(
            alert,
            "the canary gets other features",
            HEALTHY | judge(*says) | _evidence("features", 55.0),
            (30, (verdict,)),
            resolved=70,
        ),
        fires(
            alert,
            "two judges come to the same verdict: told once",
            HEALTHY | _two(judge(*says) | _evidence("quality", 9.1)),
            (30, (verdict,)),
            resolved=70,
        ),
        silent(alert, "the judge holds", HEALTHY | judge()),
        silent(alert, "the judge promotes", HEALTHY | judge((30, Verdict.PROMOTE))),
        silent(
            alert,
            "a judge that has read nothing for ten minutes: its verdict is about another day",
            HEALTHY | _of_another(judge((30, Verdict.ROLLBACK), read=((0, -10.0),))),
        ),
        silent(
            alert,
            "a standby says nothing that counts",
            HEALTHY | _of_another(judge((30, Verdict.ROLLBACK), leads=((0, 0.0),)), "standby"),
        ),
    ]


def _promotion() -> list[Scenario]:
    alert = "MLCanaryPromoteVerdict"
    return [
        fires(
            alert,
            "the canary is not worse by any measure; later a change for the worse shows",
            HEALTHY | judge((30, Verdict.PROMOTE), (60, Verdict.ROLLBACK)) | _evidence("quality", 0.2),
            (31, ({**CANARY, **INFO, "action": "promote"},)),
            resolved=64,
        ),
        fires(
            alert,
            "two judges come to the same verdict: told once",
            HEALTHY | _two(judge((30, Verdict.PROMOTE), (60, Verdict.ROLLBACK)) | _evidence("quality", 0.2)),
            (31, ({**CANARY, **INFO, "action": "promote"},)),
            resolved=64,
        ),
        silent(alert, "the judge holds", HEALTHY | judge()),
        silent(
            alert, "a judge that cannot read", HEALTHY | _of_another(judge((30, Verdict.PROMOTE), read=((0, -10.0),)))
        ),
    ]


def _stuck() -> list[Scenario]:
    alert = "MLCanaryVerdictStuck"
    late, held = ({**CANARY, **WARNING, "stuck": why} for why in ("deadline", "suspended"))

    def gate(name: str, *course: tuple[int, float | None]) -> Series:
        return gauge("mlcanary_judge_gate", {**OF, "gate": name}, *course)

    share = {"job": "mlcanary-handler", "instance": "handler:10879", "target": "router", "model": MODEL}
    return [
        fires(
            alert,
            "an hour is all that a canary gets, and there is no decision",
            HEALTHY
            | judge((120, Verdict.PROMOTE), deadline=3600.0)
            | gauge("mlcanary_judge_eta_seconds", OF, (0, 5400.0)),
            (70, (late,)),
            (110, (late,)),
            resolved=121,
        ),
        fires(
            alert,
            "the split of traffic is not the configured one for an hour and more",
            HEALTHY | judge() | gate("split_mismatch", (0, 0.0), (30, 1.0), (110, 0.0)),
            (65, (held,)),
            (105, (held,)),
            resolved=111,
        ),
        fires(
            alert,
            "a canary without traffic",
            HEALTHY | judge((30, Verdict.NO_DATA), (110, Verdict.HOLD)),
            (65, (held,)),
            resolved=111,
        ),
        fires(
            alert,
            "two judges wait for labels; of the traffic that a handler has taken none is of this version",
            HEALTHY
            | _two(
                judge((120, Verdict.PROMOTE), deadline=3600.0, start=1200.0)
                | gate("label_coverage", (0, 0.0), (30, 1.0), (100, 0.0))
            )
            | gauge("mlcanary_target_share_ratio", {**share, "version": "v1"}, (0, 0.0))
            | gauge("mlcanary_target_share_ratio", {**share, "model": "other", "version": "v2"}, (0, 0.0)),
            (64, (held,)),
            (90, (late, held)),
            (110, (late,)),
            resolved=121,
        ),
        silent(
            alert,
            "twenty minutes suspended",
            HEALTHY | judge() | gate("label_coverage", (0, 0.0), (30, 1.0), (50, 0.0)),
        ),
        silent(alert, "an A/A run takes its day", HEALTHY | judge() | gate("aa_not_passed", (0, 1.0))),
        silent(alert, "decided before the deadline", HEALTHY | judge((30, Verdict.ROLLBACK), deadline=3600.0)),
        silent(
            alert,
            "after a rollback the split is another one: that is what was wanted",
            HEALTHY | judge((30, Verdict.ROLLBACK)) | gate("split_mismatch", (0, 0.0), (30, 1.0)),
        ),
        silent(
            alert,
            "the handler has taken the traffic, so there is no data",
            HEALTHY
            | judge((30, Verdict.NO_DATA))
            | gauge("mlcanary_target_share_ratio", {**share, "version": "v2"}, (0, 0.1), (29, 0.0)),
        ),
    ]


def _change() -> list[Scenario]:
    alert, of = "MLCanaryChangeDetected", {**OF, "measure": "errors"}
    limit = gauge("mlcanary_judge_change_log_r_threshold", OF, *steady(11.37))
    risen = gauge("mlcanary_judge_change_log_r", of, (0, 6.0), (30, 14.2), (60, 6.0))
    return [
        fires(
            alert,
            "after weeks the canary fails more often; half an hour later no more",
            HEALTHY | judge() | limit | risen,
            (31, ({**CANARY, **WARNING, "measure": "errors"},)),
            resolved=80,
        ),
        fires(
            alert,
            "two judges find the same change: told once",
            HEALTHY | _two(judge() | limit | risen),
            (31, ({**CANARY, **WARNING, "measure": "errors"},)),
            resolved=80,
        ),
        fires(
            alert,
            "of three canaries with a change one is told: one has its verdict, one is no longer judged",
            HEALTHY
            | judge()
            | limit
            | risen
            | {
                name.replace('"v2"', '"v3"'): values
                for name, values in (judge((29, Verdict.ROLLBACK)) | limit | risen).items()
            }
            | {name.replace('"v2"', '"v4"'): values for name, values in (limit | risen).items()},
            (31, ({**CANARY, **WARNING, "measure": "errors"},)),
            resolved=80,
        ),
        silent(alert, "as much as chance brings about", HEALTHY | judge() | limit | gauge(*_R, *steady(10.0))),
        silent(alert, "the verdict says so already", HEALTHY | judge((29, Verdict.ROLLBACK)) | limit | risen),
        silent(alert, "a judge that cannot read", HEALTHY | _of_another(judge(read=((0, -10.0),))) | limit | risen),
    ]


_R = ("mlcanary_judge_change_log_r", {**OF, "measure": "errors"})


def _down() -> list[Scenario]:
    alert, down = "MLCanaryJudgeDown", {**JUDGE, **WARNING}
    stuck: Course = tuple((minute, float(min(minute, 30) if minute < 60 else minute)) for minute in range(125))
    other = {"job": "mlcanary-judge", "instance": "standby:10878"}
    gone: Course = ((0, 1.0), (30, None), (60, 1.0))
    left: Course = gone[:2]
    return [
        fires(
            alert,
            "the judge does not answer, so none of its series are there: told once, by its name",
            HEALTHY | judge(up=OUTAGE, leads=gone, info=gone),
            (40, (down,)),
            resolved=61,
        ),
        silent(
            alert,
            "a judge works; a probe of its port fails, and a pod of its job has not started yet",
            HEALTHY
            | judge()
            | gauge("up", {**JUDGE, "job": "probe"}, (30, 0.0))
            | gauge("up", {**JUDGE, "instance": "new:10878"}, (30, 0.0)),
        ),
        silent(alert, "a target that has never said that it is a judge", HEALTHY | gauge("up", JUDGE, (0, 0.0))),
        fires(
            alert,
            "gone from discovery; the pod that takes its place never answers",
            HEALTHY
            | judge(up=left, leads=left, info=left)
            | gauge("up", {**JUDGE, "instance": "new:10878"}, (30, 0.0)),
            (42, ({"job": "mlcanary-judge", **WARNING},)),
            resolved=20,
        ),
        fires(
            alert,
            "the judge answers but cannot read Prometheus",
            HEALTHY | judge(read=stuck),
            (45, (down,)),
            resolved=61,
        ),
        fires(
            alert,
            "no judge has the state file",
            HEALTHY | judge(leads=OUTAGE),
            (40, ({"job": "mlcanary-judge", **WARNING},)),
            resolved=61,
        ),
        fires(
            alert,
            "gone from discovery: told once, by the job",
            HEALTHY | judge(up=gone, leads=gone, info=gone),
            (42, ({"job": "mlcanary-judge", **WARNING},)),
            resolved=61,
        ),
        fires(
            alert,
            "the leader cannot read, the standby can; of other judges one job is gone, one is down, one is well",
            HEALTHY
            | judge(read=stuck)
            | gauge("mlcanary_judge_read_timestamp_seconds", other, *((m, 60.0 * m) for m in range(130)))
            | _process({"job": "a", "instance": "a:1"}, ((0, 1.0), (30, None)), left)
            | _process({"job": "b", "instance": "b:1"}, OUTAGE[:2], left)
            | _process({"job": "c", "instance": "c:1"}, OUTAGE[:1], OUTAGE[:1]),
            (45, (down, {"job": "a", **WARNING}, {"job": "b", "instance": "b:1", **WARNING})),
            resolved=20,
        ),
        silent(
            alert,
            "one of two judges is taken away, the other leads",
            HEALTHY
            | judge(up=((0, 1.0), (30, None)), leads=((0, 0.0), (30, None)), info=((0, 1.0), (30, None)))
            | gauge("mlcanary_judge_leader", other, (0, 1.0))
            | gauge("mlcanary_judge_read_timestamp_seconds", other, *((m, 60.0 * m) for m in range(130)))
            | gauge("mlcanary_judge_build_info", {**other, "version": "1"}, (0, 1.0)),
        ),
        silent(
            alert,
            "a standby waits beside the leader",
            HEALTHY | judge() | gauge("mlcanary_judge_leader", other, (0, 0.0)) | gauge("up", other, (0, 1.0)),
        ),
        silent(alert, "nobody runs a judge", HEALTHY),
        silent(alert, "a restart of three minutes", HEALTHY | judge(up=((0, 1.0), (30, 0.0), (33, 1.0)))),
    ]


def _process(labels: Labels, up: Course, info: Course) -> Series:
    """A judge of which nothing is known but whether it answers."""
    return gauge("up", labels, *up) | gauge("mlcanary_judge_build_info", {**labels, "version": "1"}, *info)


def _of_another(series: Series, name: str = "another") -> Series:
    """What another judge says: judges are told apart by job and instance, wherever the models are that they judge."""
    return {key.replace(JUDGE["instance"], f"{name}:10878"): values for key, values in series.items()}


def _two(series: Series) -> Series:
    """What a judge says, and a second one beside it."""
    return series | {name.replace(JUDGE["instance"], "second:10878"): values for name, values in series.items()}


def _evidence(family: str, log_e: float) -> Series:
    """Figures behind a verdict: a family, its threshold, its measures and features."""
    series: Series = {}
    for name, value in (("errors", -0.4), (family, log_e)):
        series |= gauge("mlcanary_judge_family_log_evalue", {**OF, "family": name}, *steady(value))
        series |= gauge("mlcanary_judge_family_log_evalue_threshold", {**OF, "family": name}, *steady(6.215))
    for name, value in (("accuracy", 1.4), ("log_loss", 9.8)):
        of = {**OF, "measure": name}
        series |= gauge("mlcanary_judge_measure_log_evalue", of, *steady(value))
        series |= gauge("mlcanary_judge_noninferior_log_evalue", of, *steady(value - 1.0))
        series |= gauge("mlcanary_judge_difference", of, *steady(0.08))
        series |= gauge("mlcanary_judge_difference_lower", of, *steady(0.03))
        series |= gauge("mlcanary_judge_difference_upper", of, *steady(0.13))
        series |= gauge("mlcanary_judge_margin", of, *steady(0.02))
        series |= gauge("mlcanary_judge_trials", {**of, "arm": "canary"}, *steady(5210.0))
    for name, value in (("amount", 57.0), ("country", 3.0), ("age", -0.2), ("hour", -0.5)):
        series |= gauge("mlcanary_judge_feature_log_evalue", {**OF, "feature": name}, *steady(value))
    return series
