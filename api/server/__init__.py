"""How the API is served: gunicorn's processes, with a worker in which no thread ever waits for a client."""
