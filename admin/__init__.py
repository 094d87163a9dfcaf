"""What an operator or a maintainer runs beside the service."""
