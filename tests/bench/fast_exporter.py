"""The exporter under a clock that runs fast, so that long windows fill soon: FACTOR, then its own arguments."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Take the first argument as the factor and hand on the rest."""
    factor, real, begun = float(sys.argv.pop(1)), time.time, time.time()
    time.time = lambda: begun + (real() - begun) * factor
    from mlcanary.cli.main import main as command  # noqa: PLC0415 - what it imports must find this clock

    command()


if __name__ == "__main__":
    main()
