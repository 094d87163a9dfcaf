"""API keys: which client a request is made for, and what its key may do."""
