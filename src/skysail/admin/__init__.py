"""The control plane: the process that has the registry, and its HTTP interface for operators."""
