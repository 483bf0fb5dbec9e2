"""Run the Django adapter's tests on another database: `python -m tests.django_adapter.run_on postgresql`, or `mysql`.

Further arguments are passed to pytest. A server is found or started as for the tests of the stores.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.stores import servers


def main(kind: str, *options: str) -> int:
    """Return the exit status of pytest."""
    with servers.database(kind) as url:
        # Not in this process: the settings are read when Django is imported.
        command = [sys.executable, "-m", "pytest", *(options or ["tests/django_adapter"])]
        return subprocess.run(command, env={**os.environ, "PHONE_VERIFY_TEST_DATABASE": url}, check=False).returncode


if __name__ == "__main__":
    if sys.argv[1:2] not in [[kind] for kind in servers.KINDS]:
        sys.exit(f"name one of: {', '.join(servers.KINDS)}")
    sys.exit(main(*sys.argv[1:]))
