"""Callbacks, as clients set them up: the receiver, its secret, test events, and calls that are sent again."""
