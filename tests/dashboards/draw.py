"""Draws the shipped dashboards without a Grafana: its own panels, fed with the answers of a real Prometheus.

Run as `python tests/dashboards/draw.py [BOARD ...] [--help]`: a PNG of each dashboard in light and dark, after its
types were checked. Without `--url` a Prometheus with an hour of simulated history is started, for which the shipped
rules record what they would have.

Needs npm and Chromium; the first time 450 MB of Grafana's libraries are fetched into `.cache/drawing`.

Not Grafana itself: variables are replaced here, and of the transformations only merging and naming columns, which
the tables use. Colours, units, thresholds, legends and cells are Grafana's own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from chromium import browsing  # noqa: E402 - in the folder above, not installed
from prometheus_tools import ROOT, get, prometheus, run, wait_for  # noqa: E402
from promtool_cases import shipped_groups  # noqa: E402
from release_history import scrapes, write_blocks  # noqa: E402
from simulated_release import MODEL  # noqa: E402

Json = dict[str, Any]

SOURCE, BUILD = HERE / "drawing", ROOT / ".cache" / "drawing"
BOARDS = ROOT / "grafana" / "dashboards"
POINTS, WIDTH = 240, 1440
CHOICE = {"cluster": ".*", "namespace": ".*", "model": MODEL, "version": ".*", "window": "5m", "class": "1"}
CHOICE |= {"feature": "amount", "__rate_interval": "2m", "__interval": "1m", "__range": "1h"}
_DEPTH = 5
"""So many recorded series stand upon each other at most."""
_HIDDEN = ("__name__", "instance", "job")


def build() -> Path:
    """The page that draws, built if its source is newer. Raises CalledProcessError with the output of npm."""
    BUILD.mkdir(parents=True, exist_ok=True)
    wanted = (SOURCE / "package.json").read_bytes()
    installed = BUILD / "package.json"
    if not installed.exists() or installed.read_bytes() != wanted:
        print("fetching Grafana's libraries, 450 MB ...", flush=True)
        with tempfile.TemporaryDirectory(dir=BUILD) as fresh:  # a fetch that was cut short is begun anew
            (Path(fresh) / "package.json").write_bytes(wanted)
            npm = ["npm", "install", "--legacy-peer-deps", "--no-audit", "--no-fund"]
            subprocess.run(npm, cwd=fresh, check=True)
            shutil.rmtree(BUILD / "node_modules", ignore_errors=True)
            (Path(fresh) / "node_modules").rename(BUILD / "node_modules")
        installed.write_bytes(wanted)
    sources = sorted(SOURCE.iterdir())
    made = BUILD / "dist" / "index.html"
    if not made.exists() or made.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        for path in sources:
            shutil.copy(path, BUILD)
        subprocess.run(["npx", "vite", "build", "--logLevel", "error"], cwd=BUILD, check=True)
    return made.parent


TYPES = """import type { AnnotationQuery, Dashboard } from '@grafana/schema';
type L<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? L<U>[] : T extends object ? { [K in keyof T]: L<T[K]> } : T;
type Mark = L<AnnotationQuery> & { expr: string; step: string; titleFormat: string; textFormat: string;
  useValueForTime: boolean };
type Board = Omit<L<Partial<Dashboard>>, 'annotations'> & { annotations: { list: Mark[] } };
"""
"""What a dashboard is to Grafana, with the literals of JSON in place of its enumerations. A mark also has what the
data source, Prometheus, reads of it."""


def check_types() -> None:
    """Hold every dashboard against Grafana's own types. Raises CalledProcessError with what the compiler says."""
    texts = (f"({path.read_text().strip()}) satisfies Board;" for path in sorted(BOARDS.glob("*.json")))
    (BUILD / "boards.ts").write_text(TYPES + "\n".join(texts))
    flags = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    subprocess.run(["npx", "tsc", *flags, "boards.ts"], cwd=BUILD, check=True)
    print("types of all dashboards: as @grafana/schema has them", flush=True)


def filled(text: str, choice: Mapping[str, str]) -> str:
    """A text with its variables replaced."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: choice.get(found[1], found[0]), text)


@dataclass(frozen=True)
class View:
    """What somebody looks at: a Prometheus, the choices made, a stretch of time in Unix seconds."""

    url: str
    choice: Mapping[str, str]
    begin: float
    end: float


def answers(view: View, target: Json) -> list[Json]:
    """What Prometheus says to one query of a panel."""
    expr = filled(target["expr"], view.choice)
    if target.get("instant"):
        found = get(f"{view.url}/api/v1/query", query=expr, time=str(view.end))
    else:
        span = {"start": str(view.begin), "end": str(view.end), "step": str((view.end - view.begin) / POINTS)}
        found = get(f"{view.url}/api/v1/query_range", query=expr, **span)
    assert found, f"Prometheus refused or did not answer: {expr}"
    result: list[Json] = found["data"]["result"]
    return result


def legend(target: Json, metric: Mapping[str, str]) -> str:
    """The name of a series."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: metric.get(found[1], ""), target["legendFormat"]).strip()


def config(panel: Json, name: str) -> Json:
    """The options of a field: those of the panel, and overrides by its name."""
    made: Json = json.loads(json.dumps(panel["fieldConfig"]["defaults"]))
    made.pop("noValue", None)
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        pattern = matcher["options"].strip("/")
        fits = re.search(pattern, name) if matcher["id"] == "byRegexp" else matcher["options"] == name
        for entry in override["properties"] if fits else ():
            at, *path = entry["id"].split(".")
            if path:
                made.setdefault(at, {})[path[0]] = entry["value"]
            elif at != "links":
                made[at] = entry["value"]
    return made


def series(panel: Json, view: View) -> list[Json]:
    """Series of a panel over time or of bars."""
    found: list[Json] = []
    for target in panel["targets"]:
        for each in answers(view, target):
            name = legend(target, each["metric"])
            pairs = each.get("values") or [each["value"]]
            values = [None if text == "NaN" else float(text) for _, text in pairs]
            times = [1000 * at for at, _ in pairs]
            found.append({"name": name, "config": config(panel, name), "times": times, "values": values})
    return found


def _rank(cell: float | str | None, *, descending: bool) -> tuple[int, float, str]:
    """Where a row stands: numbers, also such as are texts, before words; nothing last."""
    if cell is None:
        return 2, 0.0, ""
    with contextlib.suppress(ValueError):
        return 0, -float(cell) if descending else float(cell), ""
    return 1, 0.0, str(cell)


def cells(panel: Json, view: View) -> list[Json]:
    """Columns of a table: rows of all queries that agree in their common labels are one row."""
    options = panel["transformations"][1]["options"]
    rows: list[dict[str, Any]] = []
    columns: dict[str, None] = {}
    for target in panel["targets"]:
        value = f"Value #{target['refId']}"
        for each in answers(view, target):
            labels = {name: text for name, text in each["metric"].items() if name not in _HIDDEN}
            fresh = {**labels, value: float(each["value"][1])}
            columns |= dict.fromkeys(fresh)
            for row in rows:
                if value not in row and all(row[name] == labels[name] for name in row.keys() & labels.keys()):
                    row.update(fresh)
                    break
            else:
                rows.append(fresh)
    shown = [name for name in columns if not options["excludeByName"].get(name)]
    by = options["renameByName"].get
    (order,) = panel["options"]["sortBy"]
    sort = next((name for name in shown if by(name, name) == order["displayName"]), "")
    rows.sort(key=lambda row: _rank(row.get(sort), descending=order["desc"]))
    made: list[Json] = []
    for name in shown:
        title = by(name, name)
        kind = "number" if name.startswith("Value #") else "string"
        options_of = {**config(panel, title), "displayName": title}
        made.append({"name": title, "type": kind, "config": options_of, "values": [row.get(name) for row in rows]})
    return made


def drawn(board: Json, view: View, mode: str) -> Json:
    """Everything that the page needs."""
    panels = []
    for panel in board["panels"]:
        kept: Json = {"id": panel["id"], "type": panel["type"], "title": filled(panel["title"], view.choice)}
        kept["place"] = panel["gridPos"]
        if panel["type"] == "table":
            kept["columns"], kept["empty"] = cells(panel, view), "No data"
            kept["sort"] = [
                {"displayName": each["displayName"], "desc": each["desc"]} for each in panel["options"]["sortBy"]
            ]
        elif panel["type"] != "row":
            kept["series"] = series(panel, view)
            kept["empty"] = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        panels.append(kept)
    return {"mode": mode, "from": 1000 * view.begin, "to": 1000 * view.end, "panels": panels}


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the files of a folder, on loopback."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def shoot(page: Path, boards: Mapping[str, Json], out: Path, *, vector: bool) -> None:
    """A PNG of each, or an SVG; `boards` by file name."""
    with tempfile.TemporaryDirectory() as name, served(page) as address:
        async with browsing(Path(name)) as tab:
            for title, data in boards.items():
                (page / "data.json").write_text(json.dumps(data))
                tall = max(panel["place"]["y"] + panel["place"]["h"] for panel in data["panels"]) * 38 + 40
                size = {"width": WIDTH, "height": tall, "deviceScaleFactor": 1, "mobile": False}
                await tab.call("Emulation.setDeviceMetricsOverride", **size)
                await tab.open(f"{address}/index.html{'?vector' if vector else ''}")
                deadline = time.monotonic() + 60
                while not await tab.value("!!document.querySelector('#board')"):
                    assert time.monotonic() < deadline, tab.errors
                    await asyncio.sleep(0.2)
                await asyncio.sleep(1.5)
                made = out / f"{title}.{'svg' if vector else 'png'}"
                if vector:
                    made.write_text(await tab.value("window.vector()"))
                else:
                    await tab.screenshot(made, dark=data["mode"] == "dark")
                print(made, flush=True)
            # Icons are files of Grafana's server.
            assert not [error for error in tab.errors if "404" not in error], tab.errors


@contextlib.contextmanager
def simulated() -> Iterator[str]:
    """A Prometheus with an hour of history and what the rules would have recorded of it."""
    with tempfile.TemporaryDirectory() as name:
        folder, now = Path(name), round(time.time())
        rules = str(folder / "rules.json")  # slow groups would be too old when the last panel is drawn
        groups = [{key: value for key, value in group.items() if key != "interval"} for group in shipped_groups()]
        Path(rules).write_text(json.dumps({"groups": groups}))
        write_blocks(folder / "data", scrapes(), now)
        for _ in range(_DEPTH):
            print("letting the rules record ...", flush=True)
            with prometheus(folder, {}) as url:
                span = [f"--start={now - 3600}", f"--end={now}", "--eval-interval=1m", f"--url={url}"]
                run("promtool", "tsdb", "create-blocks-from", "rules", *span, f"--output-dir={folder / 'new'}", rules)
            for block in (folder / "new").iterdir():
                block.rename(folder / "data" / block.name)
        configuration = {"global": {"evaluation_interval": "5s"}, "rule_files": [rules]}
        with prometheus(folder, configuration) as url:
            wait_for("firing alerts", lambda: get(f"{url}/api/v1/query", query="ALERTS")["data"]["result"], 60.0)
            yield url


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("boards", nargs="*", default=sorted(path.stem for path in BOARDS.glob("*.json")))
    parser.add_argument("--url")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "pictures")
    parser.add_argument("--svg", action="store_true", help="vectors instead of PNG, as the README's pictures are")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    page = build()
    check_types()
    choice = CHOICE | dict(each.split("=", 1) for each in given.var)
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(simulated())
        now = time.time()
        view = View(url, choice, now - 60.0 * given.minutes, now)
        found = {
            f"{name}-{mode}": drawn(json.loads((BOARDS / f"{name}.json").read_text()), view, mode)
            for name in given.boards
            for mode in ("light", "dark")
        }
        asyncio.run(shoot(page, found, given.out, vector=given.svg))


if __name__ == "__main__":
    main()
