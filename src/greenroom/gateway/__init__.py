"""A parent process around nginx with generated configuration."""
