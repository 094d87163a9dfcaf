"""Measures, and recalibrates, a bundle on a hospital's own X-rays."""
