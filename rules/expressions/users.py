"""User-level variance, sample ratio, users seen in both arms."""

TEXT = ""
