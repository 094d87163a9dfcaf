"""What can differ on a big-endian machine: made on this one, compared on an emulated s390x."""
