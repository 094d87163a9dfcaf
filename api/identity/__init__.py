"""Who makes a request: clients by API keys with scopes, readers by keys, sessions and one-time codes."""
