"""Compiles the core of the exporter where that is possible; everywhere else the package is pure Python.

Guarantee: the same package without a compiler or without Python.h, and one line that says so, unless
`MLCANARY_REQUIRE_CORE=1` asks for an error. The limited API of Python 3.11 is used, so one wheel serves later versions.
`python hatch_build.py` compiles in place, with `CFLAGS` and `CC` of the environment.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

FOLDER = Path("exporter/mlcanary/compiled")
SOURCES = tuple(FOLDER / name for name in ("plain_lines.c", "id_table.c", "array_memory.c"))
FLAGS = (
    *("-std=c11", "-O2", "-fPIC", "-shared", "-Wall", "-Wextra", "-fvisibility=hidden"),
    "-ffp-contract=off",  # a product and a sum are rounded one by one
    *("-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"),
)
HARDENED = () if sys.platform == "darwin" else ("-Wl,-z,relro", "-Wl,-z,now")
UNRESOLVED = ("-undefined", "dynamic_lookup") if sys.platform == "darwin" else ()


class NoCore(Exception):
    """It cannot be compiled here; the message says why."""


def compiler() -> list[str]:
    """The command of the C compiler. Raises NoCore."""
    named = shlex.split(os.environ.get("CC", ""))
    for command in (named,) if named else (["cc"], ["gcc"], ["clang"]):
        if shutil.which(command[0]):
            return command
    raise NoCore(f"no C compiler ({named[0] if named else 'cc, gcc or clang'})")


def binary_of(source: Path) -> Path:
    """Where its module lies: beside it."""
    return source.with_name(f"_{source.stem}.abi3.so")


def compile_module(source: Path, target: Path) -> None:
    """Compile into `target`. Raises NoCore."""
    include = Path(sysconfig.get_path("include"))
    if not (include / "Python.h").exists():
        raise NoCore(f"no Python.h in {include}")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    new = target.with_name(f"{target.name}.{os.getpid()}.new")
    given = shlex.split(os.environ.get("CFLAGS", ""))
    command = [*compiler(), *FLAGS, *HARDENED, *UNRESOLVED, *given, f'-DSOURCE="{digest}"', f"-I{include}", str(source)]
    try:
        done = subprocess.run([*command, "-o", str(new)], capture_output=True, text=True, timeout=300, check=False)  # noqa: S603
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise NoCore(f"{command[0]} failed: {last[0]}")
        new.replace(target)  # a process that has the old one loaded keeps it
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCore(f"{command[0]}: {error}") from error
    finally:
        new.unlink(missing_ok=True)


def compile_or_say(root: Path) -> bool:
    """Whether the core lies beside its sources now; an old one never stays. Raises NoCore where it is required."""
    try:
        for source in SOURCES:
            compile_module(root / source, root / binary_of(source))
    except NoCore as why:
        for source in SOURCES:
            (root / binary_of(source)).unlink(missing_ok=True)
        if os.environ.get("MLCANARY_REQUIRE_CORE") == "1":
            raise
        print(f"mlcanary: without the compiled core, which is only slower: {why}", file=sys.stderr)
        return False
    return True


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # `python hatch_build.py` needs none of it
    pass
else:

    class CustomBuildHook(BuildHookInterface[Any]):
        """Adds the core to a wheel or an editable installation."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """See hatchling."""
            del version
            if self.target_name != "wheel" or not compile_or_say(Path(self.root)):
                return
            from packaging.tags import sys_tags  # noqa: PLC0415  # comes with hatchling

            platform = next(t.platform for t in sys_tags() if not t.platform.startswith(("manylinux", "musllinux")))
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{platform}"
            build_data["artifacts"] += [str(binary_of(source)) for source in SOURCES]


if __name__ == "__main__":
    sys.exit(0 if compile_or_say(Path(__file__).parent) else 1)
