"""What lies in Redis: the view of the jobs, queues, agenda and heartbeats. All of it may be lost."""
