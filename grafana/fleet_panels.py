"""Panels about all models at a glance, for three of them or three hundred."""

from __future__ import annotations

from judge_panels import JUDGE, VERDICTS, most_against
from panels import (
    BY_MODEL,
    BY_VERSION,
    COVERAGE,
    ERRORS,
    FEATURE,
    LABELED,
    LATENCY,
    PLACE,
    PREDICTIONS,
    Json,
    colored,
    leading,
    lines,
    number,
    of_version,
    over_hour,
    query,
    section,
    steps,
    table,
    top,
)

_OURS = f'{PLACE}, alertstate="firing", alertname=~"MLCanary.*", alertname!="MLCanaryWatchdog"'
_FIRING, _FIRING_OF_MODELS = f"ALERTS{{{_OURS}}}", f'ALERTS{{{_OURS}, model!=""}}'
_ALARM = ((None, "green"), (1.0, "red"))
_COUNT = ((None, "semi-dark-blue"),)
_PSI, _PSI_MAX = over_hour(f"{FEATURE}psi", PLACE), over_hour("model_version:mlcanary_feature:psi_max", PLACE)


def _recorded(name: str) -> str:
    """A recorded series of every version in reach."""
    return of_version(name, PLACE)


def _of_canaries(expr: str) -> str:
    """A figure by version, of canaries only: the others have no verdict."""
    canaries = f'max by ({BY_VERSION}) (mlcanary_model_info{{{PLACE}, role="canary"}})'
    return f"max by ({BY_VERSION}) ({expr}) and on ({BY_VERSION}) {canaries}"


def glance() -> list[Json]:
    """What needs a person now."""
    rollback = f'max by ({BY_VERSION}) ({JUDGE}verdict{{{PLACE}, verdict="rollback"}}) == 1'
    open_ = f"sum(max by (target, state) (mlcanary_incident_open{{{PLACE}}})) or vector(0)"
    unread = f"count(min by (instance, source) (mlcanary_up{{{PLACE}}}) == 0) or vector(0)"
    models = f"count(count by ({BY_MODEL}) (mlcanary_model_info{{{PLACE}}}))"
    canaries = f'count(count by ({BY_VERSION}) (mlcanary_model_info{{{PLACE}, role="canary"}})) or vector(0)'
    return section(
        "At a glance",
        "No exporter of mlcanary in reach: choose another cluster or namespace.",
        number("Models", "Models of which an exporter in reach reads the log.", "none", models, *_COUNT),
        number("Canaries", "Versions with the role canary.", "none", canaries, *_COUNT),
        number(
            "Rollback verdicts",
            "Canaries that the judge calls worse.",
            "none",
            f"count({rollback}) or vector(0)",
            *_ALARM,
        ),
        number("Alerts", "Firing alerts of mlcanary.", "none", f"count({_FIRING}) or vector(0)", *_ALARM),
        number("Open incidents", "Rollbacks that the handler has not finished.", "none", open_, *_ALARM),
        number("Unreadable sources", "Logs that an exporter cannot read.", "none", unread, *_ALARM),
    )


def releases() -> list[Json]:
    """Every canary with its verdict."""
    evidence = f"{JUDGE}family_log_evalue{{{PLACE}}} - {JUDGE}family_log_evalue_threshold{{{PLACE}}}"
    drifted = f"{_PSI} > {over_hour(f'{FEATURE}psi_critical', PLACE)}"
    near = colored("evidence", steps((None, "transparent"), (-2.0, "orange"), (0.0, "red")))
    return section(
        "Canaries",
        "No version has the role canary: name one under models.roles in the exporter's configuration.",
        table(
            "Canaries",
            "Every canary in reach. Evidence: log e-value of the family nearest to a rollback minus its threshold, so "
            "at 0 and above the verdict is rollback. Measure: the one, or the feature, with most evidence against it. "
            "Δ accuracy: to the baseline. Drifted: features beyond chance. A model leads to its release.",
            24,
            10,
            "evidence",
            BY_VERSION,
            ("", "none", f"max by ({BY_VERSION}, verdict) ({JUDGE}verdict{{{PLACE}}} == 1)"),
            ("", "none", most_against(PLACE)),
            ("evidence", "none", evidence),
            ("to a decision", "s", f"{JUDGE}eta_seconds{{{PLACE}}}"),
            ("share", "percentunit", _of_canaries(_recorded(f"{PREDICTIONS}share"))),
            ("requests/s", "none", _of_canaries(_recorded(f"{PREDICTIONS}rate"))),
            ("failed", "percentunit", _of_canaries(_recorded(f"{ERRORS}ratio"))),
            ("p95", "s", _of_canaries(_recorded(f"{LATENCY}p95_"))),
            ("Δ accuracy", "none", _of_canaries(_recorded(f"{LABELED}accuracy_delta"))),
            ("drifted", "none", _of_canaries(f"count by ({BY_VERSION}) ({drifted})")),
            shown=("namespace", "model"),
            overrides=(near, VERDICTS, leading("model", "release", "model")),
        ),
    )


def models() -> list[Json]:
    """Every model."""
    return section(
        "Models",
        "No exporter of mlcanary in reach: choose another cluster or namespace.",
        table(
            "Models",
            "Every model in reach, all its versions together. PSI: its feature that drifts most. A model leads to its "
            "features.",
            24,
            10,
            "alerts",
            BY_MODEL,
            ("versions", "none", f"count by ({BY_MODEL}) (count by ({BY_VERSION}) (mlcanary_model_info{{{PLACE}}}))"),
            ("requests/s", "none", f"sum by ({BY_MODEL}) ({_recorded(f'{PREDICTIONS}rate')})"),
            ("failed", "percentunit", _recorded(f"{ERRORS}ratio")),
            ("coverage", "percentunit", f"min by ({BY_MODEL}) ({_recorded(COVERAGE)})"),
            ("PSI", "none", _PSI_MAX),
            ("alerts", "none", f"count by ({BY_MODEL}) ({_FIRING_OF_MODELS})"),
            shown=("namespace", "model"),
            overrides=(
                leading("model", "drift", "model"),
                colored("alerts", steps((None, "transparent"), (1.0, "red"))),
            ),
        ),
    )


def trends() -> list[Json]:
    """The ten models that stand out at the end of the time range."""
    by_name = "{{namespace}} {{model}}"
    by_version = "{{namespace}} {{model}} {{version}}"

    def evidence(at: str) -> str:
        family = f"{JUDGE}family_log_evalue{{{PLACE}}}{at}"
        return f"max by ({BY_VERSION}) ({family} - {JUDGE}family_log_evalue_threshold{{{PLACE}}}{at})"

    def largest(recorded: str, by: str, how: str = "max") -> str:
        return top(lambda at: f"{how} by ({by}) ({_recorded(recorded)}{at})", by)

    return section(
        "The ten that stand out now",
        "Nothing to rank: no such figures in this time range.",
        lines(
            "Evidence for a rollback",
            "Log e-value minus its threshold of the ten canaries nearest to a rollback. At 0 (dashed) and above the "
            "verdict is rollback.",
            "none",
            query(top(evidence, BY_VERSION), by_version),
            query(f"0 * max({JUDGE}leader{{{PLACE}}})", "limit"),
            width=12,
        ),
        lines(
            "Failed requests",
            "Share of failed requests of the ten versions with the largest.",
            "percentunit",
            query(largest(f"{ERRORS}ratio", BY_VERSION), by_version),
            width=12,
            min=0,
        ),
        lines(
            "Drift",
            "Population stability index of the feature that drifts most, of the ten models where it is largest.",
            "none",
            query(top(lambda at: f"max by ({BY_MODEL}) ({_PSI_MAX}{at})", BY_MODEL), by_name),
            width=12,
            min=0,
        ),
        lines(
            "Requests",
            "Requests per second of the ten models with most.",
            "reqps",
            query(largest(f"{PREDICTIONS}rate", BY_MODEL, "sum"), by_name),
            width=12,
            min=0,
        ),
    )
