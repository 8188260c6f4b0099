"""Staging configs: routes and their service."""
