"""`make fuzz`: every target for some minutes each, guided by the code that inputs reach; and the replay of one input.

atheris (libFuzzer for Python) rather than hypothesis: it keeps inputs that reach new lines of our code and goes on from
them, ends a process that hangs or grows, and writes the guilty input to a file. Its mutator is ours half of the time,
since flipped bytes alone seldom get past a JSON decoder. Where it has no wheel the same inputs are tried unguided.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib.util
import logging
import os
import resource
import shutil
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import psutil

from fuzz.mutations import LONGEST, mutated

NAMES = ("lines", "engine", "bodies", "documents", "checkpoints")
SEED = 1
HANG_SECONDS = 60
MOST_MEGABYTES = 1024
"""Resident, where inputs are tried unguided."""
MOST_TRACED_MEGABYTES = 4096
"""The same where they are guided. atheris never gives back what a comparison in traced code yields, an array too: some
10 kB an input. So whether our code grows is seen afterwards, on all inputs that were kept and without tracing."""
ROUNDS, MOST_GROWN = 6, 8.0
"""How often these are tried, and how many MB more may be resident after the last time than after the second one."""

_ROOT = Path(__file__).resolve().parents[2]
_MODULE = ("-m", "fuzz.campaign")


def _target(name: str) -> Any:
    """Loaded late: the code of ours that it brings has to be instrumented before."""
    logging.disable(logging.CRITICAL)
    from fuzz.targets import TARGETS  # noqa: PLC0415

    return TARGETS[name]


def _harmless(target: Any, data: bytes, folder: Path) -> bool:
    """Try one input; a guilty one is written to a file."""
    try:
        target(data)
    except Exception:  # whatever it is, nobody promised it
        traceback.print_exc()
        guilty = folder / f"{target.name}-crash-{hashlib.sha1(data, usedforsecurity=False).hexdigest()}"
        guilty.write_bytes(data)
        print(f"Test unit written to {guilty}", flush=True)
        return False
    return True


def _guided(name: str, seconds: int, seed: int, folder: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris  # type: ignore[import-untyped]  # noqa: PLC0415  # no types; where it has a wheel

    with atheris.instrument_imports(include=["mlcanary"]):
        target = _target(name)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        chance = Random(number)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(data, most))
        return mutated(data, chance, target.seeds, head=target.head)[:most]

    def attempt(data: bytes) -> None:
        if not _harmless(target, data, folder):
            os._exit(1)  # libFuzzer's own way out does not come by here

    corpus = _corpus(name, folder)
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir()
    for i, data in enumerate(target.seeds):
        (corpus / f"{i:04}").write_bytes(data)
    words = folder / f"{name}.words"
    words.write_text("".join('"' + "".join(f"\\x{b:02x}" for b in word) + '"\n' for word in target.words))
    options: dict[str, object] = {
        "seed": seed,
        "max_total_time": seconds,
        "timeout": HANG_SECONDS,
        "rss_limit_mb": MOST_TRACED_MEGABYTES,
        "max_len": LONGEST,
        "artifact_prefix": f"{folder}/{name}-",
        "print_final_stats": 1,
    }
    if target.words:
        options["dict"] = words
    arguments = [sys.argv[0], *(f"-{key}={value}" for key, value in options.items()), str(corpus)]
    atheris.Setup(arguments, attempt, custom_mutator=mutate)
    atheris.Fuzz()


def _corpus(name: str, folder: Path) -> Path:
    """Where the inputs lie that reached new lines of our code."""
    return folder / f"{name}.corpus"


def _again(name: str, folder: Path) -> int:
    """Try the inputs that were kept again and again, without tracing. The exit status: 1 if that takes more memory."""
    target, kept = _target(name), sorted(_corpus(name, folder).iterdir())
    resident = []
    for _ in range(ROUNDS):
        if not all(_harmless(target, file.read_bytes(), folder) for file in kept):
            return 1
        gc.collect()
        resident.append(psutil.Process().memory_info().rss / 1e6)
    grown = resident[-1] - resident[1]
    print(f"stat::inputs_kept: {len(kept)}\nstat::megabytes_grown: {grown:.1f}", flush=True)
    return 0 if grown <= MOST_GROWN else 1


def _unguided(name: str, seconds: int, seed: int, folder: Path) -> int:
    """The exit status: 0 if nothing was found."""
    target, chance = _target(name), Random(seed)
    until, tried = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        data = mutated(chance.choice(target.seeds), chance, target.seeds, head=target.head)
        tried += 1
        if not _harmless(target, data, folder):
            return 1
        if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > MOST_MEGABYTES * 1024:
            print(f"more than {MOST_MEGABYTES} MB resident after {tried} inputs")
            return 1
    print(f"stat::number_of_executed_units: {tried}")
    return 0


def _one(name: str, seconds: int, seed: int, folder: Path, *, guided: bool) -> bool:
    """Fuzz a target in a process of its own. True if nothing was found."""
    log = folder / f"{name}.log"
    command = [sys.executable, *_MODULE, "--seed", str(seed), "--folder", str(folder)]
    steps = [["--inside", name, "--seconds", str(seconds)], *([["--again", name]] if guided else [])]
    with log.open("w", encoding="utf-8") as out:
        harmless = all(
            subprocess.run([*command, *step], stdout=out, stderr=out, check=False, cwd=_ROOT).returncode == 0
            for step in steps
        )
    text = log.read_text(encoding="utf-8", errors="replace").splitlines()
    told = dict(line.removeprefix("stat::").split(":", 1) for line in text if line.startswith("stat::"))
    tried, kept, grown = (
        told.get(key, "?").strip() for key in ("number_of_executed_units", "inputs_kept", "megabytes_grown")
    )
    again = f", {kept} kept and tried {ROUNDS} times: {grown} MB more" if guided else ""
    print(f"{name}: {tried} inputs{again}, {'nothing found' if harmless else 'FOUND SOMETHING'}, see {log}", flush=True)
    for guilty in [line.rpartition(" ")[2] for line in text if "Test unit written to" in line]:
        print(f"  input: {guilty}")
        print(f"  replay: PYTHONPATH=tests:tests/bench {sys.executable} -m fuzz.campaign --replay {name} {guilty}")
    return harmless


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=", ".join(NAMES))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seconds", type=int, help="instead of minutes")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--folder", type=Path, default=_ROOT / ".fuzz")
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"))
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--again", help=argparse.SUPPRESS)
    given = parser.parse_args()
    seconds = given.seconds if given.seconds is not None else int(60 * given.minutes)
    if given.replay is not None:
        _target(given.replay[0])(Path(given.replay[1]).read_bytes())
        print("nothing found")
        return 0
    guided = importlib.util.find_spec("atheris") is not None
    if given.inside is not None:
        return (_guided if guided else _unguided)(given.inside, seconds, given.seed, given.folder) or 0
    if given.again is not None:
        return _again(given.again, given.folder)
    given.folder.mkdir(exist_ok=True)
    how = "guided by coverage" if guided else "unguided, atheris is not installed"
    print(f"seed {given.seed}, {seconds} s each, {how}", flush=True)
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2)) as pool:
        names = given.targets or NAMES
        results = list(pool.map(lambda name: _one(name, seconds, given.seed, given.folder, guided=guided), names))
    return 0 if all(results) else 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(130)
