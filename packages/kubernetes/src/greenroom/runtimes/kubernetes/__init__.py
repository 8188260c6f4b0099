"""The runtime that runs sessions as Pods of one namespace. `cluster` sends the requests to the API server."""
