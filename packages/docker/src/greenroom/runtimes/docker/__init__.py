"""The runtime that runs sessions as containers of a Docker daemon."""
