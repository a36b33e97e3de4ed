"""Durable memory: one SQLite file, one process."""
