"""Sessions as Pods of one namespace. `cluster` is the way to the API server; what is pure knows no client."""
