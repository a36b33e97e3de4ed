"""Quality of rankings."""

TEXT = ""
