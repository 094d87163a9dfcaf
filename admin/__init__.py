"""The operator's commands: `python -m admin.bucket`, `keys`, `audit`, `story`, `dead_letters` and
`signing_key`."""
