"""What the API and the workers share: the job, its states, storage, queue, settings and errors."""
