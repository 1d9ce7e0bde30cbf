"""How models of each format are loaded and run, inside a worker."""
