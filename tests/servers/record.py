"""Records the answers of the named servers: `make servers`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from servers.recordings import record

if __name__ == "__main__":
    for server in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as scratch:
            print(f"recorded {record(server, Path(scratch))}")
