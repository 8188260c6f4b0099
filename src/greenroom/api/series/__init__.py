"""Time series: routes and bodies."""
