"""The sweeper role: it brings back jobs that were left behind, and deletes what is kept no longer."""
