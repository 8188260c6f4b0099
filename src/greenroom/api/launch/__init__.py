"""Launches: the routes of the launcher, the service, forecasts and the log."""
