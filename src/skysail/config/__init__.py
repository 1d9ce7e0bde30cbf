"""Configuration: the typed values (`schema`), the keys that may be written (`keys`), and their reading (`load`)."""
