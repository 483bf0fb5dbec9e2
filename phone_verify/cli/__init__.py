"""The command line, `phone-verify`."""
