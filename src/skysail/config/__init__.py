"""Configuration: the typed values (`schema`), and the one place that reads a file (`load`)."""
