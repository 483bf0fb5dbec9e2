"""What the JSON API and the pages share: requests, cookies, CSRF, problems, session notes."""
