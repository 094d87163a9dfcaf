"""The HTTP server: a worker class for gunicorn, in which no thread ever waits for a client."""
