"""Certificates and password hashes for tests of the web server."""

from __future__ import annotations

import subprocess
from pathlib import Path

PASSWORD = "correct horse"
HASH = "$2b$04$m6TxPmA3SjIBZJ3VmS/ogOl3fj0oS3mJEq12L4ZcJzpWS4EVjrNzW"


def make_certificate(directory: Path, name: str, *, sans: str = "DNS:localhost,IP:127.0.0.1") -> None:
    """`name`.crt and `name`.key, signed by itself."""
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-keyout", str(directory / f"{name}.key"), "-out", str(directory / f"{name}.crt")]
    argv += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={sans}"]
    subprocess.run(argv, check=True, capture_output=True)
