"""Records the answers of the named servers: `make servers`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from servers import bentoml_server
from servers.recordings import SERVERS, record

if __name__ == "__main__":
    for server in [name for name in sys.argv[1:] if name in (*SERVERS, "bentoml")]:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            kept = bentoml_server.record(folder) if server == "bentoml" else record(server, folder)
            print(f"recorded {kept}")
