"""Tells readers, by e-mail and Web Push, that a reading waits."""
