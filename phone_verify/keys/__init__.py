"""Access keys, with which other programs call the JSON API from their servers."""
