"""Fixtures for the tests of a site. Nothing loads this module automatically; name it in
`conftest.py`:

    pytest_plugins = ["phone_verify.testing.plugin"]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .handsets import PhoneSandbox
    from .outbox import Outbox


@pytest.fixture
def phone_outbox() -> Iterator[Outbox]:
    """What the site would have sent by `console://`: `phone_outbox.last_code("+98…")`. Needs no
    network.
    """
    from .outbox import Outbox

    with Outbox().opened() as outbox:
        yield outbox


@pytest.fixture
def phone_sandbox() -> Iterator[PhoneSandbox]:
    """A phone network for this test: `phone_sandbox.dsn` for the site,
    `phone_sandbox.handset("+98…").code()`.
    """
    try:
        from .handsets import PhoneSandbox
    except ImportError as error:
        if error.name and error.name.startswith("phone_verify"):
            raise
        pytest.fail(f"phone_sandbox needs {error.name}: pip install 'phone-verify[sandbox]'", pytrace=False)
    with PhoneSandbox() as sandbox:
        yield sandbox
