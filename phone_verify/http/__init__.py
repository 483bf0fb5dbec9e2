"""Shared by the JSON API and the pages: requests, cookies, CSRF, problems, session notes."""
