"""The messages between Agent, Manager and api: versioned msgspec structs."""
