"""The operator's commands: `python -m admin.alive`, `audit`, `bucket`, `dead_letters`, `keys`, `readers`,
`signing_key` and `story`."""
