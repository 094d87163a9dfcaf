"""The sweeper role: it restarts jobs that are stuck, and deletes what is kept no longer."""
