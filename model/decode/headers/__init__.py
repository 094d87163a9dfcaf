"""What a file's own headers declare, read before a decoder sees the file: cheap, and bounded for any file."""
