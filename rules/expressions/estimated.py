"""Quality estimated without labels."""

TEXT = ""
