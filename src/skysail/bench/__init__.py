"""Measuring a configuration: what `skysail bench` runs."""
