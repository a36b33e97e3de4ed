"""What suspends decisions, and what cuts time into phases: trials, the measurement itself, the past of the baseline."""
