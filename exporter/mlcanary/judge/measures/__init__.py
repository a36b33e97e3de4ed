"""Counts turned into blocks, and blocks into evidence: one measure of quality, business or traffic each."""
