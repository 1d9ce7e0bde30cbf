"""Readers of the running system: what it counts, as people and Prometheus read it."""
