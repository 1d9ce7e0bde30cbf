"""Replicas: the near ends of workers, and the versions that they serve."""
