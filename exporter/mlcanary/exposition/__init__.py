"""Samples to the page that Prometheus scrapes, and the HTTP around it."""
