"""Sliding windows over counters that only grow."""
