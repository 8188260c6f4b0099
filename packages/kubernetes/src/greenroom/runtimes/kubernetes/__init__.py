"""Sessions as Pods of one namespace. `cluster` accesses the API server; pure modules do not use the client."""
