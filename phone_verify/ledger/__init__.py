"""Every attempt to send or call as a row, with its outcome and its cost."""
