"""The definitions of prometheus-operator 0.80, as far as our objects use them, closed: an unknown field is an error.

Written from the documented fields. Objects of ours were also read once with the models that the PyPI package
`cloudcoil-models-prometheus-operator` 0.80.1 generates from the definitions, in an environment of its own (it brings a
plug-in for pytest that breaks other tests), and nothing differed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

Duration = Annotated[str, msgspec.Meta(pattern=r"^(\d+(ms|s|m|h|d|w|y))+$")]
Label = Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class Part(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Base: closed, camelCase."""


class Snake(msgspec.Struct, forbid_unknown_fields=True):
    """Rules keep the names of Prometheus."""


class Metadata(Part):
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
    namespace: str | None = None
    labels: dict[str, str] = {}


class Requirement(Part):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []


class Selector(Part):
    match_labels: dict[str, str] = {}
    match_expressions: list[Requirement] = []


class Namespaces(Part):
    any: bool = False
    match_names: list[str] = []


class Key(Part):
    """A key of a Secret in the same namespace."""

    name: str
    key: str
    optional: bool = False


class Authorization(Part):
    credentials: Key
    type: str = "Bearer"


class Endpoint(Part):
    port: str
    path: str = "/metrics"
    scheme: Literal["http", "https"] = "http"
    interval: Duration | None = None
    scrape_timeout: Duration | None = None
    honor_labels: bool = False
    filter_running: bool = True
    authorization: Authorization | None = None


class Limits(Part, kw_only=True):
    """What PodMonitor and ServiceMonitor have in common."""

    selector: Selector
    namespace_selector: Namespaces | None = None
    job_label: str | None = None
    pod_target_labels: list[str] = []
    sample_limit: int | None = None
    target_limit: int | None = None
    label_limit: int | None = None
    scrape_classic_histograms: bool | None = None


class PodMonitorSpec(Limits, kw_only=True):
    pod_metrics_endpoints: list[Endpoint]


class ServiceMonitorSpec(Limits, kw_only=True):
    endpoints: list[Endpoint]
    target_labels: list[str] = []


class Rule(Snake):
    expr: str
    record: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")] | None = None
    alert: str | None = None
    for_: Duration | None = msgspec.field(default=None, name="for")
    keep_firing_for: Duration | None = None
    labels: dict[Label, str] = {}
    annotations: dict[Label, str] = {}


class Group(Snake):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    rules: list[Rule] = []
    interval: Duration | None = None
    limit: int | None = None
    query_offset: Duration | None = None
    labels: dict[Label, str] = {}
    partial_response_strategy: Literal["", "abort", "warn"] = ""


class PrometheusRuleSpec(Part):
    groups: list[Group]


class Matcher(Part):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    value: str = ""
    match_type: Literal["!=", "=", "=~", "!~"] = "="
    regex: bool = False


class Route(Part):
    receiver: str | None = None
    group_by: list[str] = []
    group_wait: Duration | None = None
    group_interval: Duration | None = None
    repeat_interval: Duration | None = None
    matchers: list[Matcher] = []
    continue_: bool = msgspec.field(default=False, name="continue")
    routes: list[Route] = []
    mute_time_intervals: list[str] = []
    active_time_intervals: list[str] = []


class HTTPConfig(Part):
    authorization: Authorization | None = None
    follow_redirects: bool = True


class WebhookConfig(Part):
    url: str | None = None
    url_secret: Key | None = None
    send_resolved: bool = True
    max_alerts: Annotated[int, msgspec.Meta(ge=0)] = 0
    http_config: HTTPConfig | None = None


class Receiver(Part):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    webhook_configs: list[WebhookConfig] = []


class InhibitRule(Part):
    source_match: list[Matcher]
    target_match: list[Matcher]
    equal: list[str] = []


class AlertmanagerConfigSpec(Part):
    route: Route | None = None
    receivers: list[Receiver] = []
    inhibit_rules: list[InhibitRule] = []


KINDS = {
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitorSpec,
    ("monitoring.coreos.com/v1", "ServiceMonitor"): ServiceMonitorSpec,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRuleSpec,
    ("monitoring.coreos.com/v1alpha1", "AlertmanagerConfig"): AlertmanagerConfigSpec,
}


def check(document: dict[str, Any]) -> None:
    """Raises msgspec.ValidationError with the path of the first wrong field, KeyError for another kind."""
    spec = KINDS[document["apiVersion"], document["kind"]]
    assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
    msgspec.convert(document["metadata"], Metadata)
    msgspec.convert(document["spec"], spec)
    for rule in (rule for group in document["spec"].get("groups", ()) for rule in group["rules"]):
        assert ("record" in rule) != ("alert" in rule)
