"""What the handler asks Prometheus by itself."""
