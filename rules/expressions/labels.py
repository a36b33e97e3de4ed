"""Label delay, coverage by age, provisional and mature quality."""

TEXT = ""
