"""What people, programs and gateways ask."""
