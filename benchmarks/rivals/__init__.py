"""What people would serve this model with instead: each the way its own documentation shows it."""
