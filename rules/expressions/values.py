"""Values of features: moments, range, missing and unseen."""

TEXT = ""
