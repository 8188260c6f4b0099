"""Webhooks and their deliveries in SQL; the events themselves are written by triggers (`0082_pre_webhooks.sql`)."""
