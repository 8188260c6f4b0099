"""The api role: the HTTP interface for users, programs and gateways."""
