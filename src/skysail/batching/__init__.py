"""Batching: one deadline-ordered queue per model version, and how much of it a replica is given at once."""
