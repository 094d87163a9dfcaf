"""The operator's commands: `python -m admin.bucket`, `keys`, `audit`, `dead_letters` and `signing_key`."""
