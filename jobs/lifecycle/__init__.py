"""What follows from a change of a job: its next step, and its deletion."""
