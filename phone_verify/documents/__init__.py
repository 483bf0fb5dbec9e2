"""Files that people write: settings, request files and scenarios."""
