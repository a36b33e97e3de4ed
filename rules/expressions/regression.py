"""Quality of regression models."""

TEXT = ""
