"""The judge: reads raw counters, keeps the evidence, and says expand, hold or roll back. It never acts."""
