"""Webhooks: their routes, and the delivery of their messages."""
