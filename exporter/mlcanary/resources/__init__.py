"""What the model server costs: its processes, its control group, its accelerators."""
