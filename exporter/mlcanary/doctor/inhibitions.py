"""Whether the inhibitions that the alerts rely on are in an Alertmanager's configuration. Pure.

Guarantee: what counts is which alert holds which, by examples of each shipped inhibition, not how it is written. A rule
of another text that does the same is as good. Source: Alertmanager, "Configuration", section inhibit_rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlcanary.doctor.links import Link, bad, good
from mlcanary.doctor.routing import Matcher, holds, mappings, matchers_of

_NAME = "inhibitions"
_PLACE = frozenset({"cluster", "namespace"})
_TAKE_OVER = "take all inhibit_rules of alertmanager/alertmanager.yml over (mlcanary bundle export), and reload"
_CAUSE = {"severity": "warning", "instance": "exporter:10877"}
_HELD = {"alertname": "MLCanaryAccuracyBelowBaseline", "action": "rollback", "measure": "accuracy", "window": "1h"}
_SHOWN = 4


@dataclass(frozen=True)
class _Case:
    """An alert that must hold another one, where both have the same `equal` labels."""

    source: Mapping[str, str]
    target: Mapping[str, str]
    equal: tuple[str, ...]

    @property
    def meaning(self) -> str:
        """What it comes to where nothing holds it."""
        cause = self.source["alertname"] + (f" of the {self.source['role']}" if "role" in self.source else "")
        if self.source["alertname"] == "MLCanaryRollbackVerdict":
            return f"beside {cause} people are told of the {self.target['window']} windows of the same version too"
        if severity := self.target.get("severity"):
            return f"beside {cause} people are told of the same by a {severity} too"
        which = "by AUC " if self.target["measure"] == "auc" else ""
        whose = "the same version" if "version" in self.equal else "the same model"
        return f"while {cause} fires, rollbacks {which}of {whose} are asked for, on figures that prove nothing"


def inhibition_link(running: Mapping[str, Any], shipped: Mapping[str, Any]) -> Link:
    """Whether a running configuration holds what the shipped one holds, and nothing of other models or versions."""
    rules = mappings(running.get("inhibit_rules"))
    lacking, wide, places, count = [], [], set(), 0
    for case in _cases(shipped):
        count += 1
        found = [rule for rule in rules if _inhibits(rule, case)]
        if not found:
            lacking.append(case.meaning)
        elif not any(_narrow(rule, case) for rule in found):
            wide.append(case.source["alertname"])
        elif all(_bound(rule) for rule in found):
            places |= {_bound(rule) for rule in found}
    if lacking:
        some = "; ".join(lacking[:_SHOWN]) + ("; ..." if len(lacking) > _SHOWN else "")
        return bad(_NAME, f"{len(lacking)} of {count} are missing: {some}", _TAKE_OVER)
    if wide:
        what = f"{', '.join(dict.fromkeys(wide))} of one model holds rollbacks of others as well"
        return bad(_NAME, what, "give these inhibit_rules the `equal` of the shipped ones: cluster, namespace, model")
    where = f", in {' and '.join(sorted(places))} only" if places else ""
    return good(_NAME, f"all {count} are in force{where}")


def _cases(shipped: Mapping[str, Any]) -> Iterator[_Case]:
    """An example of every pair of alerts that the shipped inhibitions name."""
    for rule in mappings(shipped.get("inhibit_rules")):
        sources, targets = _examples(matchers_of(rule, "source")), _examples(matchers_of(rule, "target"))
        for source, target in itertools.product(sources, targets):
            if any(source.get(name) != target.get(name) for name in rule["equal"]):
                continue  # two alerts that the rule itself keeps apart
            yield _Case({**_CAUSE, **source}, {**_HELD, **target}, tuple(map(str, rule["equal"])))


def _examples(matchers: Sequence[Matcher]) -> list[dict[str, str]]:
    """Labels that fit the matchers, one set for each way to.

    >>> _examples([("alertname", "=~", "A|B"), ("role", "=", "canary")])
    [{'alertname': 'A', 'role': 'canary'}, {'alertname': 'B', 'role': 'canary'}]
    """
    values = [value.split("|") if operator == "=~" else [value] for _, operator, value in matchers]
    names = [name for name, _, _ in matchers]
    return [dict(zip(names, chosen, strict=True)) for chosen in itertools.product(*values)]


def _inhibits(rule: Mapping[str, Any], case: _Case) -> bool:
    """Whether a rule lets the source hold the target. Labels of a place are as the rule wants them."""
    equal = _equal(rule)
    alike = all(case.source.get(name, "") == case.target.get(name, "") for name in equal - set(case.equal))
    known = equal <= {*case.equal, *_PLACE, *case.source, *case.target}  # another one would have to be there
    sides = (("source", case.source), ("target", case.target))
    return alike and known and all(_fits(rule, side, labels) for side, labels in sides)


def _fits(rule: Mapping[str, Any], side: str, labels: Mapping[str, str]) -> bool:
    found = {"model": "m", "version": "v", **labels}
    asked = [each for each in matchers_of(rule, side) if each[0] not in _PLACE]
    return all(holds(found.get(name, ""), operator, value) for name, operator, value in asked)


def _narrow(rule: Mapping[str, Any], case: _Case) -> bool:
    """Whether it leaves other models, and other versions where these count, alone."""
    return set(case.equal) - _PLACE <= _equal(rule)


def _bound(rule: Mapping[str, Any]) -> str:
    """The place that a rule is bound to, empty for none: the operator can bind it to one namespace."""
    found = [f"{name}{operator}{value}" for name, operator, value in matchers_of(rule, "target") if name in _PLACE]
    return " ".join(found)


def _equal(rule: Mapping[str, Any]) -> set[str]:
    equal = rule.get("equal") or []
    return set(map(str, equal)) if isinstance(equal, list) else {str(equal)}
