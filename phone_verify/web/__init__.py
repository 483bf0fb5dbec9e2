"""The pages, as plain functions and values, with their style sheet and script."""
