"""100 replays: whatever happens to the judge, to Prometheus or to an exporter, the decision is the undisturbed one.

Each replay goes through one seeded release with one disturbance. Where the counters in Prometheus are the same, so is
every bit of the evidence: the judge is killed, restarted, polled seldom or often, cannot reach Prometheus, cannot
write, has a clock that jumps. Where the disturbance touches the counters themselves (an exporter that begins anew,
scrapes that fail or come twice, a Prometheus that was down), the verdict and its reason are the same.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from judge_replay import NOW, SECONDS, SETTINGS, look, release, start
from judged_release import EPOCH, SCRAPE, MemoryPrometheus, scraped, unreachable
from mlcanary.judge.contract import Step
from mlcanary.judge.cycle import Judge
from mlcanary.judge.publish.view import JudgedCanary
from mlcanary.judge.records import read_record, record_hash
from mlcanary.judge.store import Store

SEEDS = range(10)

Decision = tuple[JudgedCanary, list[Step], int]
"""What a run ends with: what is shown of the canary, its steps, how many decisions were recorded."""


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


def ended(directory: Path) -> Decision:
    """What the state file holds, read by a judge of its own."""
    store = Store(directory / "judge.sqlite")
    judge = Judge(MemoryPrometheus(), store, SETTINGS, "1", lambda: 0.0)
    (shown,) = judge.run_once().canaries.values()
    key = shown.assessment.key
    steps = list(store.steps(key))
    with sqlite3.connect(directory / "judge.sqlite") as db:
        bodies = [body for (body,) in db.execute("SELECT body FROM record ORDER BY id")]
    db.close()
    assert [read_record(body).previous for body in bodies] == ["", *map(record_hash, bodies)][: len(bodies)]
    judge.close()
    return shown, steps, len(bodies)


def plain(prometheus: MemoryPrometheus, directory: Path, _random: np.random.Generator) -> None:
    """A run to the end."""
    judge = start(prometheus, directory)
    for second in NOW:
        look(judge, prometheus, second)
    judge.close()


def restarted(prometheus: MemoryPrometheus, directory: Path, random: np.random.Generator) -> None:
    """Clean restarts, some of them long."""
    judge, down = start(prometheus, directory), 0
    for second in NOW:
        if down > 0:
            down -= 1
            if down == 0:
                judge = start(prometheus, directory)
        elif random.random() < 0.15:
            judge.close()
            down = int(random.integers(1, 8))
        if down == 0:
            look(judge, prometheus, second)
    if down > 0:
        judge = start(prometheus, directory)
        look(judge, prometheus, NOW[-1])
    judge.close()


def killed(prometheus: MemoryPrometheus, directory: Path, random: np.random.Generator) -> None:
    """Death before or after a third of all commits, with what was in memory gone."""

    def checkpoint(_name: str) -> None:
        if random.random() < 1 / 6:
            raise Killed

    judge = start(prometheus, directory, checkpoint)
    for second in NOW:
        while True:
            try:
                look(judge, prometheus, second)
                break
            except Killed:
                crash(judge)
                judge = start(prometheus, directory, checkpoint)
    crash(judge)


def crash(judge: Judge) -> None:
    """Let go of the file without a word, as a dead process does."""
    judge._store.close()


def polled_seldom(prometheus: MemoryPrometheus, directory: Path, random: np.random.Generator) -> None:
    """Most looks at the clock are missed."""
    judge = start(prometheus, directory)
    for second in (*(s for s in NOW[:-1] if s < 100 or random.random() < 0.2), NOW[-1]):
        look(judge, prometheus, second)
    judge.close()


def polled_often(prometheus: MemoryPrometheus, directory: Path, _random: np.random.Generator) -> None:
    """Every look comes two or three times."""
    judge = start(prometheus, directory)
    for second in NOW:
        for offset in (0.0, 0.0, 7.5):
            look(judge, prometheus, second + offset)
    judge.close()


def api_away(prometheus: MemoryPrometheus, directory: Path, random: np.random.Generator) -> None:
    """The API cannot be reached for 10 minutes, and now and then between two of its answers."""
    judge = start(prometheus, directory)
    begin = float(random.integers(150, 240))
    for second in NOW:
        gone = begin <= second < begin + 600
        prometheus.failing = unreachable if gone else flaky(random)
        prometheus.clock = EPOCH + second
        judge.run_once()
        assert not gone or "connection refused" in judge.view.problem
    prometheus.failing = lambda: None
    look(judge, prometheus, NOW[-1])
    judge.close()


def flaky(random: np.random.Generator) -> Callable[[], None]:
    """An API of which every tenth answer is lost."""

    def fail() -> None:
        if random.random() < 0.1:
            unreachable()

    return fail


def disk_full(prometheus: MemoryPrometheus, directory: Path, random: np.random.Generator) -> None:
    """A third of all commits fail."""

    def checkpoint(name: str) -> None:
        if name == "before commit cycle" and random.random() < 1 / 3:
            raise sqlite3.OperationalError("database or disk is full")

    judge = start(prometheus, directory, checkpoint)
    for second in (*NOW, *[NOW[-1]] * 20):
        look(judge, prometheus, second)
    assert judge.view.state_errors > 0
    judge.close()


def clock_steps(prometheus: MemoryPrometheus, directory: Path, random: np.random.Generator) -> None:
    """The local clock jumps by hours, and that of Prometheus goes back by minutes now and then."""
    local = iter(random.normal(0.0, 1e4, 10_000).tolist())
    judge = Judge(prometheus, Store(directory / "judge.sqlite"), SETTINGS, "1", lambda: next(local))
    for second in NOW:
        look(judge, prometheus, second)
        if random.random() < 0.3:
            look(judge, prometheus, max(0, second - int(random.integers(1, 300))))
    judge.close()


Run = Callable[[MemoryPrometheus, Path, np.random.Generator], None]
SAME_COUNTERS: tuple[Run, ...] = (
    restarted,
    killed,
    polled_seldom,
    polled_often,
    api_away,
    disk_full,
    clock_steps,
)


def other_counters(seed: int) -> Iterator[tuple[str, MemoryPrometheus]]:
    """The same release, with something wrong between the exporters and Prometheus."""
    random = np.random.default_rng([seed, 99])
    scrapes = int(SECONDS / SCRAPE)
    resets = [(int(random.integers(100, SECONDS - 100)), int(random.integers(2))) for _ in range(3)]
    yield "exporters begin anew", scraped(release(seed), restarts=resets)
    missed = [(int(k), int(e)) for k in range(8, scrapes) for e in range(2) if random.random() < 0.2]
    doubled = [(int(k), int(e)) for k in range(scrapes) for e in range(2) if random.random() < 0.3]
    yield "scrapes fail and come twice", scraped(release(seed), missed=missed, doubled=doubled)
    begin = float(random.integers(150, 240))
    yield "Prometheus is down for 10 minutes", scraped(release(seed), away=(begin, begin + 600))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_disturbance_changes_the_decision(seed: int, tmp_path: Path) -> None:
    undisturbed = replayed(plain, scraped(release(seed)), tmp_path / "plain", seed)
    decided = undisturbed[0].assessment
    assert decided.verdict == ("rollback" if seed % 2 else "promote")
    for run in SAME_COUNTERS:
        found = replayed(run, scraped(release(seed)), tmp_path / run.__name__, seed)
        assert found == undisturbed, run.__name__
    for name, prometheus in other_counters(seed):
        found = replayed(plain, prometheus, tmp_path / name, seed)
        assert (found[0].assessment.verdict, found[0].assessment.reason) == (decided.verdict, decided.reason), name
        assert found[1] != undisturbed[1], name


def replayed(run: Run, prometheus: MemoryPrometheus, directory: Path, seed: int) -> Decision:
    """One replay in a directory of its own."""
    directory.mkdir()
    run(prometheus, directory, np.random.default_rng([seed, 7]))
    return ended(directory)


def test_a_commit_that_failed_is_told_and_repeated(tmp_path: Path) -> None:
    prometheus, full = scraped(release(1)), [True]

    def checkpoint(name: str) -> None:
        if name.startswith("before") and full[0]:
            raise sqlite3.OperationalError("database or disk is full")

    judge = start(prometheus, tmp_path, checkpoint)
    prometheus.clock = EPOCH + 300
    view = judge.run_once()
    assert (view.read_at, view.state_errors, view.canaries) == (None, 1, {})
    assert "disk is full" in view.problem
    full[0] = False
    view = judge.run_once()
    assert (view.read_at, view.problem, len(view.canaries)) == (EPOCH + 270, "", 1)
    judge.close()


def test_processes_that_are_killed_decide_as_one_that_is_not(tmp_path: Path) -> None:
    """SIGKILL for real: the entry forks judges that kill themselves at a commit, and the next one goes on."""
    entry = Path(__file__).parents[1] / "judge_crash_entry.py"
    random = np.random.default_rng(5)
    for seed in (0, 1):
        undisturbed = replayed(plain, scraped(release(seed)), tmp_path / f"plain {seed}", seed)
        directory = tmp_path / f"killed {seed}"
        directory.mkdir()
        orders = [int(kill) for kill in random.integers(1, 9, 12)]
        order = {"directory": str(directory), "seed": seed, "kills": orders}
        done = subprocess.run(
            [sys.executable, str(entry)],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        ends = json.loads(done.stdout)
        assert ends.count(-9) >= 5
        assert ends[-1] == 0
        assert ended(directory) == undisturbed
