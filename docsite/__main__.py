"""`python -m docsite [build|tables]`."""

from __future__ import annotations

import argparse
import sys

from . import blocks


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docsite", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["build", "tables"], default="build")
    if parser.parse_args().command == "tables":
        for page in blocks.rewrite():
            sys.stdout.write(f"{page} rewritten\n")
        return 0
    from .build import build  # needs the extra `docs`, which the tables do not

    return build()


if __name__ == "__main__":
    sys.exit(main())
