"""The OAuth 2.0 extension grant for verified numbers, independent of any OAuth library."""
