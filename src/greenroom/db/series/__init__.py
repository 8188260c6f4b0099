"""SQL statements for time series: samples, counts of launches, roll-ups, reads."""
