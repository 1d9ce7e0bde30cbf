"""The data plane over HTTP: the server, and the routes that clients use."""
