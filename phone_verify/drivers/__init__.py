"""One module per provider; `base.py` defines the roles.

The module of the scheme `telefon-ip` is `telefon_ip`, and `DRIVER` names its class. New
modules are found by their names, without a registry.
"""
