"""Celery workers: analyse a radiograph, deliver its result, sweep up what was left behind."""
