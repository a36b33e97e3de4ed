"""Figures per segment."""

TEXT = ""
