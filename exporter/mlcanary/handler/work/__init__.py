"""One worker per target: decide, act, verify, look whether it stays so."""
