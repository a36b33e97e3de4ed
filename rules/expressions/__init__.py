"""The recorded series, one module per concern: `NAME :=` and its expression, in the order of evaluation."""
