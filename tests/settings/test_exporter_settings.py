"""Configurations that are refused, with their exact words, and configurations that are taken, with what they mean."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from guides import blocks, guide
from mlcanary.bounds_settings import check_feature_objectives
from mlcanary.catalog import Role
from mlcanary.errors import ConfigError
from mlcanary.exposition.sketches import PeerPlan
from mlcanary.joins.policy import JoinPolicy
from mlcanary.measures.plan import Limits
from mlcanary.measures.reference import Reference, numeric_reference
from mlcanary.measures.users import salt_fingerprint
from mlcanary.push.settings import EVENT_FORMAT, PushSection
from mlcanary.settings import ExporterSettings, Flags, duration_text, load_settings

CORPUS = Path(__file__).resolve().parents[1] / "config"
BAD = sorted((CORPUS / "bad").glob("*.yml"))
GOOD = sorted((CORPUS / "good").glob("*.yml"))


def load(path: Path) -> ExporterSettings:
    """The settings of one file."""
    return load_settings(Flags(config_file=path))


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_configuration_is_refused_in_exactly_these_words(path: Path) -> None:
    expected = path.read_text().partition("\n")[0].removeprefix("# ")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).replace(f"{path.parent}/", "") == expected


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_a_good_configuration_is_taken(path: Path) -> None:
    assert load(path).origins


def test_every_key_means_what_it_says() -> None:
    settings = load(CORPUS / "good" / "everything.yml")
    assert settings.patterns == ("/var/log/model/predictions*.jsonl", str(CORPUS / "good" / "more.jsonl"))
    assert (settings.model, settings.version) == ("fraud", "v0")
    plan = settings.plan
    assert plan.windows == (("1m", 60.0), ("5m", 300.0), ("90s", 90.0), ("90m", 5400.0), ("1d", 86400.0))
    assert (plan.join_capacity, plan.early_ttl) == (1000, 0.0)
    peers = ("http://sidecars.monitoring.svc:10877", "https://[::1]:10877/behind/a/proxy")
    assert settings.peers == PeerPlan(peers, 120.0, CORPUS / "good" / "everything.yml")
    assert settings.salt_fingerprint == salt_fingerprint(b"pepper")
    assert plan.limits == Limits(models=5, versions=3, features=20, classes=2, events=1, reasons=1)
    churn = plan.models["churn"]
    assert (churn.positive, churn.negative, churn.threshold) == ("1", "0", 0.4)  # YAML's yes and no are booleans
    assert churn.join == JoinPolicy(1800.0, 7 * 86400.0, "0")
    assert churn.roles == {"v1": Role.BASELINE, "1.10": Role.CANARY, "v3": Role.SHADOW, "v4": Role.UNASSIGNED}
    assert churn.role("never named") is Role.SHADOW
    limits = churn.thresholds()
    assert (limits["accuracy_drop"], limits["min_labels"], limits["error_ratio"]) == (0.03, 1000.0, 0.0001)
    assert churn.feature_objectives == {
        "age": {"feature_psi": 0.5, "feature_missing_ratio": 0.0},
        "prediction": {"feature_change": 0.01},
    }
    assert churn.limits == plan.limits
    assert churn.reference is not None
    assert churn.reference.model == "churn"
    assert plan.models["fraud"].join == JoinPolicy(0.0, 86400.0)
    assert plan.model("any other") == plan.default
    assert plan.default.reference is not None


def test_without_a_profile_any_feature_may_have_limits_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "free.yml"
    path.write_text(
        "sources: [{path: a.jsonl}]\nmodels: [{name: churn, feature_objectives: {any: {feature_missing_ratio: 0.5}}}]\n"
    )
    assert load(path).plan.models["churn"].feature_objectives == {"any": {"feature_missing_ratio": 0.5}}


def test_of_many_features_of_a_profile_an_error_names_the_first() -> None:
    names = {f"x{i}": numeric_reference([0.0, 1.0], 2) for i in range(25)}
    text = "models: [{feature_objectives: {y: {feature_psi: 1}}}]"
    with pytest.raises(ConfigError, match=r"x18, x19 and 5 more$"):
        check_feature_objectives(
            {"y": {"feature_psi": 1.0}}, Reference(names, None, rows=2), text, "a.yml", ("models",)
        )


def test_sections_may_be_shared_by_the_means_of_yaml() -> None:
    models = load(CORPUS / "good" / "merged.yml").plan.models
    assert models["churn"].join == models["fraud"].join == JoinPolicy(600.0, 86400.0)


def test_names_of_features_that_the_reference_does_not_have_are_told(tmp_path: Path) -> None:
    profile = (CORPUS / "good" / "profile.json").read_text()
    (tmp_path / "m.json").write_text(profile)
    config = tmp_path / "exporter.yml"
    config.write_text(
        """
        sources:
          - {path: a.csv, format: mapping, model: m, mapping: {csv: [id, AGE, p], features: {aeg: AGE}, score: p}}
          - {path: b.csv, format: mapping, model: m, mapping: {csv: [id, a, p], features: {age: a}, score: p}}
          - {path: c.csv, format: mapping, model: n, mapping: {csv: [id, a, p], features: {any: a}, score: p}}
        models:
          - {name: m, reference: m.json, segments: [agee, zip, age], roles: {v1: baseline}}
          - {name: n, segments: [anything], roles: {v1: baseline}}
        """
    )
    path = tmp_path / "a.csv"
    assert [warning for warning in load(config).warnings if "no reference profile" not in warning] == [
        "m: segments: no feature agee in the reference (did you mean age?); "
        "if no record has it either, this segment stays empty",
        "m: segments: no feature zip in the reference; if no record has it either, this segment stays empty",
        f"{path}: mapping: no feature aeg in the reference (did you mean age?); "
        "this one has no drift, and that of the reference has no values",
    ]


@pytest.mark.parametrize("body", [b"PAR1\x15\x04\xff\xfe", b'{"id": 1, "score": 0.5}\n', b"id,score\n1,0.5\n", b""])
def test_a_reference_that_is_no_profile_says_how_to_make_one(body: bytes, tmp_path: Path) -> None:
    table = tmp_path / "validation"
    table.write_bytes(body)
    with pytest.raises(ConfigError) as caught:
        load_settings(Flags(log_paths=("a.jsonl",), reference=table))
    assert str(caught.value) == f"{table}: found no profile; allowed: a file that `mlcanary profile` wrote"
    assert caught.value.hint.startswith("make one: mlcanary profile FILE --output model.profile.json")


def test_a_log_path_alone_is_enough() -> None:
    settings = load_settings(Flags(log_paths=("a.jsonl",)))
    assert settings.patterns == ("a.jsonl",)
    assert (settings.model, settings.version) == ("default", "unknown")
    assert [warning.partition(",")[0] for warning in settings.warnings] == [
        "every model: no reference profile",
        "every model: no roles",
    ]


def test_flags_win_over_the_file() -> None:
    flags = Flags(
        log_paths=("b.jsonl",),
        config_file=CORPUS / "good" / "everything.yml",
        model="m",
        version="v",
        role=Role.CANARY,
    )
    settings = load_settings(flags)
    assert settings.patterns == ("b.jsonl",)
    assert (settings.model, settings.version) == ("m", "v")
    assert settings.plan.default.default_role is Role.CANARY


def test_a_reference_flag_stands_for_every_model_without_its_own() -> None:
    profile = CORPUS / "good" / "profile.json"
    settings = load_settings(Flags(config_file=CORPUS / "good" / "merged.yml", reference=profile))
    assert settings.plan.default.reference is not None
    assert settings.plan.models["fraud"].reference is settings.plan.default.reference
    assert not any("no reference" in warning for warning in settings.warnings)


def test_nothing_to_read_and_unreadable_files_are_said_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^no log to read$") as caught:
        load_settings(Flags())
    assert caught.value.hint == "give --log.path FILE, or --push, or `sources:` in the configuration file"
    (tmp_path / "latin.yml").write_bytes(b"sources: [{path: caf\xe9}]")
    with pytest.raises(ConfigError, match=r"latin\.yml: cannot be read: not UTF-8 text$"):
        load(tmp_path / "latin.yml")
    with pytest.raises(ConfigError, match=r"none\.yml: cannot be read: No such file or directory$"):
        load(tmp_path / "none.yml")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (60, "1m"), (90, "90s"), (3600, "1h"), (5400, "90m"), (86400, "1d"), (1.5, "1.5s"), (604800, "7d")],
)
def test_a_window_has_one_name(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_guide_names_every_limit_of_pushes_with_its_default() -> None:
    (block,) = (part for part in blocks(guide("sources"), "yaml") if part.startswith("push:"))
    told = yaml.safe_load(block)["push"]
    assert told.pop("format") == EVENT_FORMAT
    defaults = msgspec.structs.asdict(PushSection())
    assert told == {key: value for key, value in defaults.items() if value is not None}
