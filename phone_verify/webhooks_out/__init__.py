"""Outgoing webhooks: events of verifications for the URLs that a service names."""
