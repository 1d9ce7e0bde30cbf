"""Skysail: many models behind one endpoint, inside a latency budget, learning from feedback which of them to trust."""
