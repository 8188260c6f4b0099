"""The bodies of `/api/v1`: unknown fields are refused, field names are those of CONTRACT."""
