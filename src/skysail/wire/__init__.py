"""What the processes say to each other: frames between frontends and workers, messages between the others."""
