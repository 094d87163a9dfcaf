"""Requests for the objects of an S3 bucket, signed by botocore and sent past the rest of it."""
