"""Reports of the ledger: aggregates, queries, pages and downloads, for every framework."""
