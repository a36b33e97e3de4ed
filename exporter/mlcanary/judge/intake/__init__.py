"""What Prometheus holds, turned into what both arms gained: readings, roles, counters."""
