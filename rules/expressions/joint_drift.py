"""The classifier two-sample test."""

TEXT = ""
