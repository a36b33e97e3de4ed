"""Prometheus: is it there, does it scrape the exporter, are the rules loaded and well, what fires, who is told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mlcanary.doctor.asking import Asker
from mlcanary.doctor.links import Link, bad, good

_OLDEST = (2, 42)
_STALE = 120.0
_NEEDED = ("canary.recording.yml", "canary.alerts.yml", "meta.alerts.yml", "handler.alerts.yml")
_FOR_JUDGE = ("judge.alerts.yml",)
_SHOWN = 4
_LOST = (
    "group by (instance) (up == 0 and on (job, instance) "
    "group by (job, instance) (last_over_time(mlcanary_exporter_build_info[1d])))"
)
"""Targets that were exporters within a day, and give no page now."""


async def prometheus_links(asker: Asker, url: str, rules: Path | None, *, judged: bool) -> AsyncIterator[Link]:
    """Those that Prometheus can tell of. `rules`: the folder of the shipped rule files."""
    answer = await asker.get(f"{url}/api/v1/status/buildinfo")
    built = answer.json()
    if not answer.ok or not isinstance(built, Mapping):
        yield bad("prometheus", f"{url}: {answer.problem}", "start it, or give --prometheus.url")
        return
    yield _version(url, str(built.get("data", {}).get("version", "")))
    yield await _scrape(asker, url)
    if judged:
        found = await _vector(asker, url, "max by (model, version, verdict) (mlcanary_judge_verdict) == 1")
        words = ", ".join(f"{m.get('model')} {m.get('version')}: {m.get('verdict')}" for m, _ in found or [])
        remedy = "scrape the judge with honor_labels: true"
        yield good("verdicts", words) if words else bad("verdicts", "Prometheus has no verdict of a judge", remedy)
    if rules is not None:
        async for link in _rules(asker, url, rules, (*_NEEDED, *(_FOR_JUDGE if judged else ()))):
            yield link
    yield await _firing(asker, url)


def _version(url: str, version: str) -> Link:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers and numbers < _OLDEST:
        return bad("prometheus", f"{url} is version {version}", "the rules need 2.42 or newer")
    return good("prometheus", f"{url} answers, version {version or 'unknown'}")


async def _scrape(asker: Asker, url: str) -> Link:
    ages = await _vector(asker, url, "max by (job, instance) (time() - timestamp(mlcanary_exporter_build_info))")
    if ages:
        said = ", ".join(f"{labels.get('instance')} {age:.0f} s ago" for labels, age in ages[:_SHOWN])
        if max(age for _, age in ages) > _STALE:
            return bad("scrape", f"an exporter was last scraped long ago: {said}", "see Status > Targets in Prometheus")
        lost = await _vector(asker, url, _LOST)
        if lost:
            away = ", ".join(labels.get("instance", "") for labels, _ in lost[:_SHOWN])
            return bad(
                "scrape", f"{said}; not scraped any more: {away}", "does it run? see Status > Targets in Prometheus"
            )
        return good("scrape", f"{len(ages)} exporter(s), last scraped: {said}")
    answer = await asker.get(f"{url}/api/v1/targets", {"state": "active"})
    active = (answer.json() or {}).get("data", {}).get("activeTargets", []) if answer.ok else []
    failing = [t for t in active if t.get("health") == "down"]
    if failing:
        target = failing[0]
        what = f"no series of an exporter; {target.get('scrapeUrl')} fails: {target.get('lastError', '')[:160]}"
        return bad("scrape", what, "is that the exporter? check its address, --web.config.file and the scrape's token")
    what = f"no series of an exporter, though {len(active)} target(s) are scraped"
    return bad(
        "scrape",
        what,
        "add to prometheus.yml: scrape_configs: [{job_name: mlcanary, static_configs: "
        "[{targets: ['127.0.0.1:10877']}]}]",
    )


async def _rules(asker: Asker, url: str, folder: Path, needed: tuple[str, ...]) -> AsyncIterator[Link]:
    answer = await asker.get(f"{url}/api/v1/rules")
    groups = (answer.json() or {}).get("data", {}).get("groups", []) if answer.ok else []
    loaded = {rule["name"]: rule for group in groups for rule in group.get("rules", []) if "name" in rule}
    for name in needed:
        wanted = set(shipped_rules(folder / name))
        missing = sorted(wanted - loaded.keys())
        failing = [rule for rule in wanted & loaded.keys() if loaded[rule].get("health") == "err"]
        title = f"rules {name}"
        if missing:
            some = ", ".join(missing[:_SHOWN]) + (" ..." if len(missing) > _SHOWN else "")
            what = f"{len(missing)} of {len(wanted)} are not loaded: {some}"
            yield bad(title, what, "mlcanary bundle export DIR, then rule_files: [DIR/rules/*.yml], and reload")
        elif failing:
            what = f"{failing[0]} fails: {loaded[failing[0]].get('lastError', '')[:200]}"
            yield bad(title, what, "two exporters with the same series under different labels? see the error")
        else:
            yield good(title, f"all {len(wanted)} loaded, none fails")


def shipped_rules(path: Path) -> Iterator[str]:
    """Names of the records and alerts of a rule file."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe
    for group in document["groups"]:
        for rule in group["rules"]:
            yield rule.get("record") or rule["alert"]


async def _firing(asker: Asker, url: str) -> Link:
    answer = await asker.get(f"{url}/api/v1/alerts")
    alerts = (answer.json() or {}).get("data", {}).get("alerts", []) if answer.ok else []
    ours = [a for a in alerts if a.get("labels", {}).get("alertname", "").startswith("MLCanary")]
    firing = sorted({a["labels"]["alertname"] for a in ours if a.get("state") == "firing"})
    if "MLCanaryWatchdog" not in firing:
        what = "MLCanaryWatchdog does not fire, which always fires"
        return bad("alerts", what, "load rules/meta.alerts.yml, and wait for one evaluation")
    others = [name for name in firing if name != "MLCanaryWatchdog"]
    return good("alerts", "the watchdog fires; " + (f"also firing: {', '.join(others)}" if others else "no other"))


async def _vector(asker: Asker, url: str, expression: str) -> list[tuple[dict[str, str], float]]:
    answer = await asker.get(f"{url}/api/v1/query", {"query": expression})
    document: Any = answer.json() if answer.ok else None
    result = document.get("data", {}).get("result", []) if isinstance(document, Mapping) else []
    return [(each["metric"], float(each["value"][1])) for each in result]
