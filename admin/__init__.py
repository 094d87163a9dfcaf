"""The operator's commands: `python -m admin.alive`, `audit`, `bucket`, `dead_letters`, `export_readings`,
`keys`, `models`, `reading_policy`, `readers`, `signing_key` and `story`."""
