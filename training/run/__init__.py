"""Keeps the folder of one training run: config, checkpoint, curves, and files written whole or not at all."""
