"""Stores: the durable memory of decisions, observations and policy states."""
