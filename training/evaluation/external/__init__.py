"""External validation: a bundle measured, and recalibrated, on a hospital's own X-rays."""
