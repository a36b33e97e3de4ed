"""mlcanary: measure a model canary, decide with known error, take the traffic back, prove it."""

__version__ = "0.1.0"
