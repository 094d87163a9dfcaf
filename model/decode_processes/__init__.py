"""Decodes submitted files in processes of their own: what is hostile harms one of them, and nothing else."""
