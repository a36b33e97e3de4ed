"""How an exporter measures all of its models: fixed until the configuration is read anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlcanary.catalog import Role
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import Limits, ModelPlan

DEFAULT_WINDOWS: tuple[tuple[str, float], ...] = (("5m", 300.0), ("1h", 3600.0))


@dataclass(frozen=True)
class MonitorPlan:
    """`models` by name; `default` for every other model. Seconds throughout.

    A version of which nothing was read for `version_retention`, and for as long as its labels take, is forgotten.
    """

    models: Mapping[str, ModelPlan] = field(default_factory=dict)
    default: ModelPlan = field(default_factory=ModelPlan)
    windows: tuple[tuple[str, float], ...] = DEFAULT_WINDOWS
    join_capacity: int = 200_000
    early_ttl: float = 600.0
    limits: Limits = field(default_factory=Limits)
    version_retention: float = 86_400.0

    @property
    def join_policies(self) -> dict[str, JoinPolicy]:
        """Waiting times by model; "" stands for every other one."""
        return {"": self.default.join, **{name: model.join for name, model in self.models.items()}}

    def model(self, name: str) -> ModelPlan:
        """The plan of a model."""
        return self.models.get(name, self.default)

    def role(self, model: str, version: str) -> Role:
        """The part that a version of a model plays."""
        return self.model(model).role(version)
