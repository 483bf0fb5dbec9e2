"""The documentation site: tables generated from the code, the API reference, and the strict build.

`python -m docsite` builds the site into `build/docs/site`; `python -m docsite tables` rewrites the tables that are
checked in. Nothing here is part of the wheel.
"""
