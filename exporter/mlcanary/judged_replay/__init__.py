"""Finished logs through the exporter and the judge, on the time of their records: what would have been decided."""
