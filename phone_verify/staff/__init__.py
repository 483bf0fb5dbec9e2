"""Pages for staff: services, access keys, accounts, deliveries of webhooks and tests, on every framework."""
