"""The parent: it holds the listening sockets and keeps the children running, and does nothing else."""
