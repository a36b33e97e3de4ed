"""The rules of the house, kept by machine: floors, sizes, docstrings, names, and what a process loads."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from mlcanary.catalog import BY_NAME, CATALOG, OBJECTIVES, Group, Kind

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = sorted((ROOT / "exporter").rglob("*.py"))
SOURCES = [*PACKAGE, *sorted((ROOT / "tests").rglob("*.py"))]
TABLE_NAMES = 8
FILE_LINES, FUNCTION_LINES = 400, 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def place(path: Path, node: ast.AST) -> str:
    """Where a finding is, as editors understand it."""
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | Function]:
    """Public classes and functions of a module, and the public methods of those classes."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body)


def test_arrows_between_the_floors_point_downward() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_public_part_has_a_docstring() -> None:
    silent = []
    for path in PACKAGE:
        tree = parsed(path)
        silent += [place(path, node) for node in [tree, *public(tree.body)] if not ast.get_docstring(node)]
    assert silent == []


def test_files_stay_short() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: n for name, n in lengths.items() if n > FILE_LINES} == {}


def is_table(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """A list of cases with a few names before it: long because there are many cases, and read one by one."""
    *names, last = node.body
    return isinstance(last, ast.Return) and isinstance(last.value, ast.List) and len(names) <= TABLE_NAMES


def test_functions_stay_short() -> None:
    long = {
        f"{place(path, node)} {node.name}": length
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
        and not is_table(node)
    }
    assert long == {}


def test_nobody_imports_the_source_root() -> None:
    guilty = []
    for path in SOURCES:
        for node in ast.walk(parsed(path)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            guilty += [place(path, node) for name in names if name.partition(".")[0] == "exporter"]
    assert guilty == []


def test_there_is_no_drawer_for_leftovers() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "lib"}
    assert [str(path) for path in SOURCES if drawers & {path.stem, *path.relative_to(ROOT).parts}] == []


def test_shared_modules_of_the_tests_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert sorted({name for name in names if names.count(name) > 1} - {"conftest.py", "__init__.py"}) == []


def loaded_by(command: str) -> set[str]:
    """Top-level modules that are loaded once a command of `mlcanary` is ready to run."""
    code = (
        "import json, sys; from mlcanary.cli.main import cli; import click; "
        f"cli.get_command(click.Context(cli), {command!r}); "
        "print(json.dumps([name for name in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout))


def test_the_handler_starts_without_the_statistics() -> None:
    loaded = loaded_by("handler")
    assert "mlcanary.handler" in loaded
    floors = {f"mlcanary.{name}" for name in ("stats", "measures", "monitor", "joins", "formats", "sources")}
    assert loaded & ({"numpy", "scipy", "pandas", "sklearn", "pyarrow"} | floors) == set()


def test_the_exporter_starts_without_the_heavy_libraries() -> None:
    loaded = loaded_by("exporter")
    assert {"mlcanary.engine", "numpy"} <= loaded
    assert loaded & {"scipy", "pandas", "sklearn", "pyarrow", "rich", "joblib", "mlcanary.handler"} == set()


NAME, LABEL = re.compile(r"mlcanary(_[a-z][a-z0-9]*)+"), re.compile(r"[a-z][a-z0-9_]*")


def test_names_of_the_catalogue_are_unique_and_well_formed() -> None:
    assert len(BY_NAME) == len(CATALOG)
    for row in CATALOG:
        assert NAME.fullmatch(row.name), row.name
        assert (row.kind is Kind.COUNTER) == row.name.endswith("_total"), row.name
        assert not row.name.endswith(("_sum", "_count", "_bucket", "_created")), row.name
        assert (row.group is Group.WINDOW) == row.name.startswith("mlcanary_window_"), row.name
        assert all(LABEL.fullmatch(label) and not label.startswith("__") for label in row.labels), row.name
        assert len(set(row.labels)) == len(row.labels), row.name
        # The judge speaks of other processes' series, so it repeats where those are; honor_labels keeps it so.
        places = set() if row.group is Group.JUDGE else {"cluster", "namespace"}
        assert not ({"le", "quantile", "job", "instance"} | places) & set(row.labels), row.name


def test_no_series_name_of_one_family_belongs_to_another() -> None:
    written: list[str] = []
    for row in CATALOG:
        suffixes = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.SUMMARY: ("_sum", "_count")}
        written += [row.name + suffix for suffix in suffixes.get(row.kind, ("",))]
        written += [row.name.removesuffix("_total")] if row.kind is Kind.COUNTER else []
    assert sorted(name for name in set(written) if written.count(name) > 1) == []


def test_windowed_gauges_say_that_they_are_of_one_sidecar() -> None:
    for row in CATALOG:
        if row.group is Group.WINDOW:
            assert row.labels[:3] == ("model", "version", "window")
            assert row.help.endswith("This sidecar alone, over the window.")


def test_every_row_is_explained_in_a_sentence() -> None:
    for text in [row.help for row in CATALOG] + [row.help for row in OBJECTIVES]:
        assert re.fullmatch(r"[A-Z0-9].*\.", text), text


def test_histograms_name_their_unit() -> None:
    assert [row.name for row in CATALOG if row.kind is Kind.HISTOGRAM and not row.name.endswith("_seconds")] == []


def test_objectives_are_unique_and_their_limits_positive() -> None:
    names = [row.name for row in OBJECTIVES]
    assert len(set(names)) == len(names)
    assert all(row.default > 0 for row in OBJECTIVES)
