"""Receives the targets of one client, verified, and passes them to robots: by MQTT. It holds nothing."""
