"""Tests of deploy/kubernetes; docker-compose.yml has its own beside this folder."""
