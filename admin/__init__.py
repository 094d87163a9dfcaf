"""The operator's commands: `python -m admin.alive`, `audit`, `bucket`, `dead_letters`, `export_readings`, `keys`,
`readers`, `reading_policy`, `signing_key` and `story`."""
