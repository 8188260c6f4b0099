"""The data of Diagnostics and metrics: log rows, requests, figures; the retention of rows."""
