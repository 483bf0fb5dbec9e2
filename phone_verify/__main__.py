"""`python -m phone_verify`: the same as `phone-verify`."""

from .cli.main import main

main()
