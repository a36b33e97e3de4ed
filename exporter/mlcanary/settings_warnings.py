"""What a configuration says that works, but less than the operator may think. Pure.

Guarantee: a line for each model or source, which names the key and what to do; the same at start, by `--config.check`
and on the landing page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mlcanary.catalog import Role
from mlcanary.documents import suggestion
from mlcanary.exposition.sketches import PeerPlan
from mlcanary.measures.plan import ModelPlan
from mlcanary.monitor.monitor import MonitorPlan
from mlcanary.source_settings import Origin


def settings_warnings(plan: MonitorPlan, peers: PeerPlan, origins: Sequence[Origin]) -> Iterator[str]:
    """Of models, then of sources, then of users."""
    for name, model in ({"every model": plan.default} if not plan.models else plan.models).items():
        if model.reference is None:
            yield (
                f"{name}: no reference profile, so drift is not measured and score bins are logit-spaced; "
                "`mlcanary profile` makes one"
            )
        if not model.roles and model.default_role is Role.UNASSIGNED:
            yield f"{name}: no roles, so no version is compared with another; set `roles:` or --model.role"
        for wrong in _strangers(model, model.segments):
            yield f"{name}: segments: {wrong}; if no record has it either, this segment stays empty"
    for origin in origins:
        model = plan.model(origin.format.model)
        for wrong in _strangers(model, _mapped_features(origin)):
            yield f"{origin.name}: mapping: {wrong}; this one has no drift, and that of the reference has no values"
    if peers.peers and not plan.default.user_salt:
        yield "users: sketches are exchanged without a salt, so whoever reads one can test guesses; set `salt_file`"


def _strangers(model: ModelPlan, names: Sequence[str]) -> Iterator[str]:
    """Those of `names` that no feature of the reference has; none where there is no reference."""
    if model.reference is not None:
        known = model.reference.features
        yield from (
            f"no feature {name} in the reference{suggestion(name, known)}" for name in names if name not in known
        )


def _mapped_features(origin: Origin) -> Sequence[str]:
    """Names that a mapping gives to features, if its records are all of the source's own model."""
    mapping = origin.format.mapping or {}
    if "model" in mapping:
        return ()
    columns, named = mapping.get("features"), mapping.get("feature_names")
    lists = (each for each in (columns, named) if isinstance(each, Mapping | list | tuple))
    return [name for each in lists for name in each if isinstance(name, str)]
