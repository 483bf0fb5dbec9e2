"""Work that waits in the database of the ledger: orders to send, and the leases of repeated jobs."""
