"""The delivery role: it calls the clients' receivers."""
