"""Sessions as containers of a Docker daemon."""
