"""Counters and histograms: plain, cheap, read as snapshots."""
