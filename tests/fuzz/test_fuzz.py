"""The targets of `make fuzz` for a few seconds each, with inputs that are the same on every run."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from random import Random

import pytest

from formats.same_traffic import NOW
from fuzz.campaign import NAMES
from fuzz.contract import Broken, Target
from fuzz.line_targets import MONITORED, READINGS, SOURCE
from fuzz.mutations import mutated
from fuzz.targets import TARGETS
from mlcanary.formats.registry import FORMATS, make_format

SEED = 20_261_126
INPUTS = {"lines": 150, "engine": 5, "bodies": 1500, "documents": 600, "checkpoints": 10}


def inputs(target: Target, count: int) -> list[bytes]:
    """What is tried: good inputs and changed ones."""
    chance = Random(SEED)
    return [mutated(chance.choice(target.seeds), chance, target.seeds, head=target.head) for _ in range(count)]


def test_every_target_and_every_format_is_fuzzed() -> None:
    assert tuple(TARGETS) == NAMES == tuple(INPUTS)
    assert {reading.name for reading in READINGS} == set(FORMATS)


@pytest.mark.parametrize("name", NAMES)
def test_no_input_does_harm(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    target = TARGETS[name]
    for data in [*target.seeds[:: 9 if name == "engine" else 3], *inputs(target, INPUTS[name])]:
        try:
            target.attempt(data)  # without its time limit: a test has the one of the test run
        except Exception as error:
            error.add_note(f"input: {data!r}")
            raise


def test_a_harmful_input_would_be_told() -> None:
    def harmful(_data: bytes) -> None:
        for _ in iter(lambda: sum(range(10_000)), None):
            raise Broken("found")

    with pytest.raises(Broken, match="found"):
        Target("harmful", harmful, [b""])(b"")


LEAKING = """
import sys
from pathlib import Path
from fuzz import campaign
from fuzz.contract import Target
held = []
campaign._target = lambda name: Target(name, lambda data: held.append(data * int(sys.argv[2])), [])
sys.exit(campaign._again("leaking", Path(sys.argv[1])))
"""


@pytest.mark.parametrize(("kept_bytes", "status"), [(0, 0), (1 << 20, 1)], ids=["keeps nothing", "keeps a megabyte"])
def test_what_grows_with_its_inputs_would_be_told(kept_bytes: int, status: int, tmp_path: Path) -> None:
    """In a process of its own: memory that other tests left free would be taken without a trace."""
    corpus = tmp_path / "leaking.corpus"
    corpus.mkdir()
    for i in range(10):
        (corpus / str(i)).write_bytes(b"%d" % i)
    command = [sys.executable, "-c", LEAKING, str(tmp_path), str(kept_bytes)]
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": paths}, stdout=subprocess.PIPE, text=True, check=False
    )
    assert "inputs_kept: 10\n" in done.stdout
    assert done.returncode == status


def test_decoders_that_are_kept_do_not_grow() -> None:
    """Twice as many broken lines may not need more memory: what is learnt from lines has a bound."""
    decoders = [make_format(reading.options, MONITORED.model) for reading in READINGS]
    chance, target = Random(SEED), TARGETS["lines"]

    def feed(count: int) -> None:
        for i in range(count):
            data = mutated(chance.choice(target.seeds), chance, target.seeds, head=1)
            decoders[data[0] % len(READINGS)].decode_block(data[1:], NOW + i, SOURCE)

    feed(400)
    tracemalloc.start()
    try:
        feed(400)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 4 << 20
