"""What Diagnostics and metrics show: log rows, requests, figures, invariants; how long rows are kept."""
