"""One module a provider; `base.py` holds the roles.

The module of the scheme `telefon-ip` is `telefon_ip`, and its class is named by `DRIVER`. Nothing is registered:
a new module is found by its name.
"""
