"""The bridge to django-oauth-toolkit: OAuth clients sign users in by their verified number."""
