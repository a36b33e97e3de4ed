"""The same log through other programs: evidently's presets, mtail with the same 22 metrics, the usual script.

Run as `python tests/bench/peers.py [--rows 1000000] [--mtail-rows 100000]`, after `tests/bench/peers.sh`. CPU time
of all threads, per record, of each program and of the exporter over the same file, one after the other. What is not
installed is said so. The exporter is measured with quality, drift, windows, late labels, and a state file.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from bench_records import CATEGORIES, NUMBERS  # noqa: E402 - beside this file, not installed
from ingest import engine_seconds, write_log, write_reference  # noqa: E402
from naive_script import naive_seconds  # noqa: E402

EVIDENTLY = HERE.parent.parent / ".cache" / "bench" / "evidently" / "bin" / "python"
REFERENCE_SHARE = 0.1
ROWS, MTAIL_ROWS, NAIVE_ROWS = 1_000_000, 100_000, 30_000
BARS = {"evidently": 20, "mtail": 8}


def mtail_program() -> str:
    """Predictions by version and class, latency, and a histogram of each number: 22 metrics."""
    made = ["counter predictions by version, class\n"]
    made.append("histogram latency by version buckets 1, 2, 5, 10, 20, 50, 100, 200\n")
    made += [f"histogram {name} by version buckets -3, -2, -1, 0, 1, 2, 3\n" for name in NUMBERS]
    pattern = r'"version":"(?P<version>[^"]+)".*"latency_ms":(?P<latency>[0-9.]+),.*"prediction":(?P<class>\d+)'
    made.append(f"/{pattern}/ {{\n  predictions[$version][$class]++\n  latency[$version] = $latency\n")
    number = r"-?[0-9.]+(?:e-?[0-9]+)?"
    made += [f'  /"{name}":(?P<of_{name}>{number})/ {{\n    {name}[$version] = $of_{name}\n  }}\n' for name in NUMBERS]
    return "".join([*made, "}\n"])


def mtail(log: Path, directory: Path) -> dict[str, Any]:
    """CPU seconds of mtail over the log, and the predictions that it counted; `missing` if it is not installed."""
    if shutil.which("mtail") is None:
        return {"missing": "mtail is not installed (apt-get install mtail)"}
    programs = directory / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "features.mtail").write_text(mtail_program())
    command = ["mtail", "--one_shot", "--one_shot_format", "json", "--progs", str(programs), "--logs", str(log)]
    with (directory / "mtail.out").open("wb") as out, (directory / "mtail.err").open("wb") as err:
        child = subprocess.Popen([*command, "--log_dir", str(directory)], stdout=out, stderr=err)
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    text = (directory / "mtail.out").read_text()
    if child.returncode or "{" not in text:
        return {"missing": f"mtail failed: {(directory / 'mtail.err').read_text()[-300:]}"}
    return {
        "seconds": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024 / 1e6,
        "counted": _mtail_predictions(text),
    }


def _mtail_predictions(text: str) -> int:
    """Sum of the counter in what mtail prints, a JSON list after some words."""
    metrics = json.JSONDecoder().raw_decode(text[min(i for i in (text.find("["), text.find("{")) if i >= 0) :])[0]
    found = 0
    for metric in metrics if isinstance(metrics, list) else metrics.values():
        for each in metric if isinstance(metric, list) else [metric]:
            if each["Name"] == "predictions":
                found += sum(int(row["Value"]["Value"]) for row in each["LabelValues"])
    return found


def evidently(log: Path, rows: int) -> dict[str, Any]:
    """What `peer_evidently.py` says of the log; `missing` if it is not installed."""
    if not EVIDENTLY.exists():
        return {"missing": "evidently is not installed (tests/bench/peers.sh)"}
    features = json.dumps({"numbers": NUMBERS, "categories": list(CATEGORIES)})
    command = [str(EVIDENTLY), str(HERE / "peer_evidently.py"), str(log), str(int(rows * REFERENCE_SHARE)), features]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return {"missing": f"evidently failed: {done.stderr[-300:]}"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(rows: int, mtail_rows: int, naive_rows: int, directory: Path) -> dict[str, Any]:
    """CPU microseconds a record of each program, and of the exporter on the same file."""
    profile = directory / "profile.json"
    write_reference(profile)
    found: dict[str, Any] = {}
    for name, count in (("evidently", rows), ("mtail", mtail_rows), ("naive", naive_rows)):
        log = directory / f"{name}.jsonl"
        write_log(log, count)
        us = 1e6 / count
        one: dict[str, Any] = {"rows": count, "ours": us * engine_seconds(log, profile, stored=True)}
        if name == "naive":
            one["theirs"] = us * naive_seconds(log)
        elif name == "mtail":
            one |= mtail(log, directory)
            one |= {"theirs": us * one["seconds"]} if "seconds" in one else {}
        else:
            one |= evidently(log, count) | {"rows": count}
            if "read" in one:  # the reference rows are read, but only the current ones are judged
                judged = 1e6 * (one["drift"] + one["quality"]) / one["current"]
                one |= {"theirs": us * one["read"] + judged, "without_reading": judged}
        if "theirs" in one:
            one["ours"] = (one["ours"] + us * engine_seconds(log, profile, stored=True)) / 2  # before and after
            one["ratio"] = one["theirs"] / one["ours"]
        found[name] = one
        log.unlink()
    return found


_TITLES = {
    "evidently": "evidently 0.7: drift and classification presets, and pandas reading the same lines",
    "mtail": "mtail: predictions, latency and 20 histograms, by regular expressions",
    "naive": "script: json, prometheus-client per record, scipy per 10,000",
}


def table(found: dict[str, Any]) -> list[str]:
    """All of it as lines of Markdown."""
    lines = ["| program | records | its CPU us a record | ours | ratio | goal |", "|---|---|---|---|---|---|"]
    notes = []
    for name, one in found.items():
        goal = BARS.get(name, "")
        if "theirs" not in one:
            lines.append(f"| {_TITLES[name]} | {one['rows']:,} | not measured | {one['ours']:.2f} | | {goal} |")
            notes.append(one["missing"])
            continue
        figures = f"{one['rows']:,} | {one['theirs']:.1f} | {one['ours']:.2f} | {one['ratio']:.1f}"
        lines.append(f"| {_TITLES[name]} | {figures} | {goal} |")
        if "without_reading" in one:
            without = one["without_reading"]
            notes.append(
                f"evidently without reading: {without:.1f} us a record, {without / one['ours']:.1f} times ours; "
                f"its peak memory: {one['peak']:,.0f} MB."
            )
        if one.get("counted", one["rows"]) != one["rows"]:
            notes.append(f"mtail counted {one['counted']:,} of {one['rows']:,} predictions.")
    return [*lines, "", *(line for note in notes for line in (note, ""))]


def main() -> None:
    """Measure all of them; one JSON object, or Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--mtail-rows", type=int, default=MTAIL_ROWS)
    parser.add_argument("--naive-rows", type=int, default=NAIVE_ROWS)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        found = measured(given.rows, given.mtail_rows, given.naive_rows, Path(name))
    print("\n".join(table(found)) if given.table else json.dumps(found))


if __name__ == "__main__":
    main()
