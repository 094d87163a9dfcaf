"""Sends targets to an MQTT 5 broker, each for the rest of its validity, and the status with a will."""
