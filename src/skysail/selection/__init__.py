"""Selection: policies choose which models to ask, combine what they say, and learn from feedback."""
