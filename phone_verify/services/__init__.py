"""Services: named sets of channels, limits, texts and caps, each with its access keys."""
