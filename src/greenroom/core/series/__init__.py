"""Time series of the deployment: resolutions, roll-ups, percentiles of waits."""
