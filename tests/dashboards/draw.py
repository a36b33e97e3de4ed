"""Draws the shipped dashboards without a Grafana: its own panels, fed with the answers of a real Prometheus.

Run as `python tests/dashboards/draw.py [BOARD ...] [--url URL] [--out FOLDER] [--var name=value]`: a PNG of each
dashboard in light and dark. Without `--url` a Prometheus with an hour of simulated history and the shipped rules is
started. Needs npm and Chromium; the first time 450 MB of Grafana's libraries are fetched into `.cache/drawing`.

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
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from chromium import browsing  # noqa: E402 - in the folder above, not installed
from prometheus_tools import ROOT, RULES, get, prometheus  # noqa: E402
from release_history import scrapes, write_blocks  # noqa: E402
from simulated_release import MODEL  # noqa: E402

Json = dict[str, Any]

SOURCE, BUILD = HERE / "drawing", ROOT / ".cache" / "drawing"
BOARDS = ROOT / "grafana" / "dashboards"
SPAN, POINTS, WIDTH = 3600.0, 240, 1440
CHOICE = {"cluster": ".*", "namespace": ".*", "model": MODEL, "version": ".*", "window": "5m", "class": "1"}
CHOICE |= {"feature": "amount", "__rate_interval": "2m", "__interval": "1m"}
_HIDDEN = ("__name__", "instance", "job")


def build() -> Path:
    """The page that draws, built if its source is newer. Raises CalledProcessError with the output of npm."""
    BUILD.mkdir(parents=True, exist_ok=True)
    if not (BUILD / "node_modules" / "vite").is_dir():
        print("fetching Grafana's libraries, 450 MB ...", flush=True)
        shutil.copy(SOURCE / "package.json", BUILD)
        subprocess.run(["npm", "install", "--legacy-peer-deps", "--no-audit", "--no-fund"], cwd=BUILD, check=True)
    sources = sorted(SOURCE.iterdir())
    made = BUILD / "dist" / "index.html"
    if not made.exists() or made.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        for path in sources:
            shutil.copy(path, BUILD)
        subprocess.run(["npx", "vite", "build", "--logLevel", "error"], cwd=BUILD, check=True)
    return made.parent


def filled(text: str, choice: Mapping[str, str]) -> str:
    """A text with its variables replaced."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: choice.get(found[1], found[0]), text)


def answers(url: str, target: Json, choice: Mapping[str, str], now: float) -> list[Json]:
    """What Prometheus says to one query of a panel."""
    expr = filled(target["expr"], choice)
    if target.get("instant"):
        found = get(f"{url}/api/v1/query", query=expr, time=str(now))
    else:
        span = {"start": str(now - SPAN), "end": str(now), "step": str(SPAN / POINTS)}
        found = get(f"{url}/api/v1/query_range", query=expr, **span)
    result: list[Json] = found["data"]["result"] if found else []
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


def series(panel: Json, url: str, choice: Mapping[str, str], now: float) -> list[Json]:
    """Series of a panel over time or of bars."""
    found: list[Json] = []
    for target in panel["targets"]:
        for each in answers(url, target, choice, now):
            name = legend(target, each["metric"])
            pairs = each.get("values") or [each["value"]]
            values = [None if text == "NaN" else float(text) for _, text in pairs]
            times = [1000 * at for at, _ in pairs]
            found.append({"name": name, "config": config(panel, name), "times": times, "values": values})
    return found


def cells(panel: Json, url: str, choice: Mapping[str, str], now: float) -> list[Json]:
    """Columns of a table: rows of all queries that agree in their common labels are one row."""
    options = panel["transformations"][1]["options"]
    rows: list[dict[str, Any]] = []
    columns: dict[str, None] = {}
    for target in panel["targets"]:
        value = f"Value #{target['refId']}"
        for each in answers(url, target, choice, now):
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
    sort = next((name for name in shown if by(name, name) == panel["options"]["sortBy"][0]["displayName"]), None)
    rows.sort(key=lambda row: -row[sort] if sort in row else float("inf"))
    made: list[Json] = []
    for name in shown:
        title = by(name, name)
        kind = "number" if name.startswith("Value #") else "string"
        options_of = {**config(panel, title), "displayName": title}
        made.append({"name": title, "type": kind, "config": options_of, "values": [row.get(name) for row in rows]})
    return made


def drawn(board: Json, url: str, choice: Mapping[str, str], now: float, mode: str) -> Json:
    """Everything that the page needs."""
    panels = []
    for panel in board["panels"]:
        kept: Json = {"id": panel["id"], "type": panel["type"], "title": filled(panel["title"], choice)}
        kept["place"] = panel["gridPos"]
        if panel["type"] == "table":
            kept["columns"], kept["empty"] = cells(panel, url, choice, now), "No data"
            kept["sort"] = [{"displayName": each["displayName"], "desc": True} for each in panel["options"]["sortBy"]]
        elif panel["type"] != "row":
            kept["series"] = series(panel, url, choice, now)
            kept["empty"] = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        panels.append(kept)
    return {"mode": mode, "from": 1000 * (now - SPAN), "to": 1000 * now, "panels": panels}


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


async def shoot(page: Path, boards: Mapping[str, Json], out: Path) -> None:
    """A PNG of each; `boards` by file name."""
    with tempfile.TemporaryDirectory() as name, served(page) as address:
        async with browsing(Path(name)) as tab:
            for title, data in boards.items():
                (page / "data.json").write_text(json.dumps(data))
                tall = max(panel["place"]["y"] + panel["place"]["h"] for panel in data["panels"]) * 38 + 40
                size = {"width": WIDTH, "height": tall, "deviceScaleFactor": 1, "mobile": False}
                await tab.call("Emulation.setDeviceMetricsOverride", **size)
                await tab.open(f"{address}/index.html")
                deadline = time.monotonic() + 60
                while not await tab.value("!!document.querySelector('#board')"):
                    assert time.monotonic() < deadline, tab.errors
                    await asyncio.sleep(0.2)
                await asyncio.sleep(1.5)
                await tab.screenshot(out / f"{title}.png", dark=data["mode"] == "dark")
                print(out / f"{title}.png", flush=True)
            # Icons are files of Grafana's server.
            assert not [error for error in tab.errors if "404" not in error], tab.errors


@contextlib.contextmanager
def simulated() -> Iterator[str]:
    """A Prometheus with an hour of history, whose rules have had some time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_blocks(folder / "data", scrapes(), time.time())
        configuration = {"global": {"evaluation_interval": "5s"}, "rule_files": [f"{RULES}/*.yml"]}
        with prometheus(folder, configuration) as url:
            print("letting the rules record for two minutes ...", flush=True)
            time.sleep(120)
            yield url


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("boards", nargs="*", default=sorted(path.stem for path in BOARDS.glob("*.json")))
    parser.add_argument("--url")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "pictures")
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    page = build()
    choice = CHOICE | dict(each.split("=", 1) for each in given.var)
    with contextlib.ExitStack() as stack:
        url = given.url or stack.enter_context(simulated())
        now = time.time()
        found = {
            f"{name}-{mode}": drawn(json.loads((BOARDS / f"{name}.json").read_text()), url, choice, now, mode)
            for name in given.boards
            for mode in ("light", "dark")
        }
        asyncio.run(shoot(page, found, given.out))


if __name__ == "__main__":
    main()
