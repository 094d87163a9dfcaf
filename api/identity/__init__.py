"""API keys: the client that a request is made for, and the scopes of its key."""
