"""The reading room: pages under `/read`, on which people sign in, look and report."""
