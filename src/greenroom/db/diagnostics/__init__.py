"""The data of Diagnostics and metrics: log rows, requests, figures, invariants; the retention of rows."""
