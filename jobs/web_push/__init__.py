"""Web Push: the browsers in which readers want to be told of readings, and the key of this service."""
