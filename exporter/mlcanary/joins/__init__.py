"""Predictions meet their labels: a pure state machine with bounded memory."""
