"""Panels about the judge: its verdicts, the evidence behind them, and what suspends it."""

from __future__ import annotations

from panels import BY_VERSION, PLACE, VERSION, Json, lines, named, query, section, table

JUDGE = "mlcanary_judge_"
VERDICTS = named("verdict", rollback="red", promote="green", hold="transparent", no_data="#8e8e8e")


def said(name: str, *more: str) -> str:
    """A series of the judge about the chosen versions."""
    return f"{JUDGE}{name}{{{', '.join((VERSION, *more))}}}"


def per(name: str, label: str) -> str:
    """The same by version and one more label, whichever judge says it."""
    return f"max by (version, {label}) ({said(name)})"


def most_against(labels: str) -> str:
    """Of each canary the measure, or the feature, with most evidence against it, named by the label `measure`."""
    of_features = f'label_replace({JUDGE}feature_log_evalue{{{labels}}}, "measure", "$1", "feature", "(.+)")'
    every = f"max by ({BY_VERSION}, measure) ({JUDGE}measure_log_evalue{{{labels}}} or {of_features})"
    return f"topk by ({BY_VERSION}) (1, {every})"


def verdicts() -> list[Json]:
    """The judge."""
    return section(
        "Judge", "No judge says anything of the chosen versions: is mlcanary judge running?", *_decisions(), *_grounds()
    )


def _decisions() -> list[Json]:
    """What is said, and the evidence over time."""
    return [
        table(
            "Verdicts",
            "What the judge says of each canary now, and why. Evidence is the log e-value of the family nearest "
            "to a rollback, minus its threshold: at 0 and above the verdict is rollback. Measure: the one, or the "
            "feature, with most evidence against the canary.",
            24,
            6,
            "evidence",
            BY_VERSION,
            ("", "none", f"max by ({BY_VERSION}, verdict, reason) ({said('reason')} == 1)"),
            ("", "none", most_against(VERSION)),
            ("evidence", "none", f"{said('family_log_evalue')} - {said('family_log_evalue_threshold')}"),
            ("since", "s", f"time() - {said('verdict_timestamp_seconds')}"),
            ("age", "s", f"time() - {said('canary_start_timestamp_seconds')}"),
            ("to a decision", "s", said("eta_seconds")),
            ("canary trials", "short", said("trials", 'arm="canary"')),
            ("may expand", "none", said("may_expand")),
            overrides=(VERDICTS,),
        ),
        lines(
            "Evidence for a rollback",
            "Log e-value by family. Dashed: where the family asks for a rollback. A healthy canary gets there with "
            "a chance of alpha at most, however often anybody looks.",
            "none",
            query(per("family_log_evalue", "family"), "{{version}} {{family}}"),
            query(per("family_log_evalue_threshold", "family"), "limit {{family}}"),
        ),
        lines(
            "Evidence for a promotion",
            "Log e-value against being worse by the margin. Dashed: where all measures must be for a promotion.",
            "none",
            query(per("noninferior_log_evalue", "measure"), "{{version}} {{measure}}"),
            query(f"max({said('noninferior_log_evalue_threshold')})", "limit"),
        ),
        lines(
            "Difference in margins",
            "Interval of the difference to the baseline, valid at every look, in units of the margin. Above 0 "
            "throughout: worse. Below 1 throughout (dashed): no worse than the margin allows.",
            "none",
            query(
                f"{per('difference_upper', 'measure')} / {per('margin', 'measure')}", "{{version}} {{measure}} at most"
            ),
            query(
                f"{per('difference_lower', 'measure')} / {per('margin', 'measure')}", "{{version}} {{measure}} at least"
            ),
            query(f"max({said('margin')} / {said('margin')})", "limit margin"),
        ),
    ]


def _grounds() -> list[Json]:
    """Measures and features one by one, what suspends, and how the judge itself is doing."""
    return [
        table(
            "Measures",
            "Each measure of each canary: difference to the baseline with its interval, margin and log e-values.",
            16,
            9,
            "log e",
            f"{BY_VERSION}, measure",
            ("difference", "none", said("difference")),
            ("at least", "none", said("difference_lower")),
            ("at most", "none", said("difference_upper")),
            ("margin", "none", said("margin")),
            ("log e", "none", said("measure_log_evalue")),
            ("log e, fine", "none", said("noninferior_log_evalue")),
            ("trials", "short", said("trials", 'arm="canary"')),
            ("effect", "none", said("design_effect")),
        ),
        lines(
            "Gates",
            "What suspends decisions: 1 while it does.",
            "none",
            query(f"{per('gate', 'gate')} > 0", "{{version}} {{gate}}"),
            noValue="No gate suspends decisions in this time range, or no judge says anything of the chosen versions.",
            min=0,
            max=1,
            lineInterpolation="stepAfter",
        ),
        lines(
            "Features",
            "Log e-value that the canary sees another distribution of a feature than the baseline: ten largest of now.",
            "none",
            query(
                f"max by (version, feature) ({said('feature_log_evalue')})"
                f" and topk(10, max by (version, feature) ({said('feature_log_evalue')} @ end()))",
                "{{version}} {{feature}}",
            ),
            width=12,
        ),
        lines(
            "Age of the reading, duration of a cycle",
            "How far the judge is behind Prometheus, and how long it takes to read and judge. Dashed: from here on its "
            "verdicts no longer count.",
            "s",
            query(f"time() - max({JUDGE}read_timestamp_seconds{{{PLACE}}})", "age"),
            query(f"max({JUDGE}cycle_duration_seconds{{{PLACE}}})", "cycle"),
            query(f"300 * max({JUDGE}leader{{{PLACE}}})", "limit"),
            width=12,
            min=0,
        ),
    ]
