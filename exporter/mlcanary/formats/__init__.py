"""One log format per file: bytes in, records and rejects out. Pure: no files, no clock."""
