"""The files of a package with a driver, for `phone-verify new-driver`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from ...drivers.dsn import schemes
from .source import Change, Plan, ProjectError

_SCHEME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 32


def plan_driver(folder: Path, scheme: str) -> Plan:
    """Return the files of the package for this scheme in a new folder. Raises `ProjectError`."""
    if not _SCHEME.fullmatch(scheme) or len(scheme) > _LONGEST:
        raise ProjectError(f"a driver's name has up to {_LONGEST} of a-z, 0-9 and single hyphens, like acme-sms")
    if scheme in (*schemes(), "sandbox"):
        raise ProjectError(f"phone_verify has the driver {scheme!r}; choose another name")
    target = folder / f"phone-verify-{scheme}"
    if target.exists():
        raise ProjectError(f"{target.name} exists already")
    module = scheme.replace("-", "_")
    names = {
        "scheme": scheme,
        "module": module,
        "package": f"phone_verify_{module}",
        "title": "".join(part.capitalize() for part in scheme.split("-")),
    }
    changes = [
        Change(target / Template(path).substitute(names), None, Template(text).substitute(names))
        for path, text in _FILES.items()
    ]
    steps = [
        f"cd {target.name}",
        "pip install -e '.[test]'",
        "python -m pytest",
        f"edit {names['package']}/__init__.py and tests/samples/ until they are what your provider documents",
    ]
    return Plan(changes, steps)


_FILES: Mapping[str, str] = {
    "pyproject.toml": """[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "phone-verify-$scheme"
version = "0.1.0"
description = "The provider $scheme for phone_verify"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["phone-verify"]

[project.optional-dependencies]
test = ["pytest>=8", "hypothesis>=6.100"]

# The name is the scheme of the DSN.
[project.entry-points."phone_verify.drivers"]
$scheme = "$package:$title"

[tool.hatch.build.targets.wheel]
packages = ["$package"]

[tool.pytest.ini_options]
markers = ["fuzz: tests with many generated values"]
""",
    "README.md": """# phone-verify-$scheme

    pip install phone-verify-$scheme

    PHONE_VERIFY_SMS=$scheme://TOKEN@default

| option | meaning | default |
|---|---|---|
| `sender` | the sender name of SMS | that of the account |

## Tests

    pip install -e '.[test]'
    python -m pytest
""",
    "$package/__init__.py": '''"""SMS with our code by the provider $scheme.

Say here what the provider documents, and what is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from phone_verify.drivers.base import Ability
from phone_verify.drivers.kinds.json_api import Fault, JsonDriver, by_kind, code_of
from phone_verify.drivers.options import Option
from phone_verify.drivers.reading import our_code, reference_of
from phone_verify.errors import FailureKind
from phone_verify.exchange import Exchange, HttpRequest
from phone_verify.model import Channel, CodeSource, Order, Receipt


@dataclass(frozen=True)
class $title(JsonDriver):
    """SMS through the provider $scheme."""

    scheme: ClassVar[str] = "$scheme"
    provider: ClassVar[str] = "$title"
    default_host: ClassVar[str | None] = "api.$scheme.example"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (("token",),)
    options: ClassVar[Mapping[str, Option]] = {"sender": Option(None, meaning="the sender name of SMS")}
    errors: ClassVar[Mapping[str, FailureKind]] = by_kind(
        {FailureKind.BAD_NUMBER: "invalid_number", FailureKind.BALANCE: "no_credit", FailureKind.RATE: "too_many"}
    )

    token: str = field(repr=False)
    sender: str | None

    def __post_init__(self) -> None:
        self.require_token("token")

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """SMS with our code."""
        return {Channel.SMS: Ability(CodeSource.LOCAL)}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the message."""
        fields: dict[str, object] = {"to": order.phone.e164, "text": order.text or our_code(order)}
        if self.sender:
            fields["from"] = self.sender
        headers = {"Authorization": f"Bearer {self.token}"}
        document = yield from self.ask(HttpRequest.post_json(f"{self.base_url}/v1/messages", fields, headers))
        reference = reference_of(document.get("id"))
        if reference is None:
            raise self.unclear("id")
        return Receipt(reference)

    def fault_of(self, document: Mapping[str, Any]) -> Fault | None:
        """Return the error that the provider names."""
        code = code_of(document.get("error"))
        return Fault(code, document.get("message")) if code else None
''',
    "$package/py.typed": "",
    "tests/test_$module.py": '''"""Every promise of a driver: https://github.com/phone-verify/phone-verify/blob/main/docs/adding_a_provider.md"""

from pathlib import Path

import pytest
from $package import $title

from phone_verify.errors import FailureKind
from phone_verify.testing.drivers import DriverSuite


class Test$title(DriverSuite):
    driver = $title
    dsn = "$scheme://FAKE%2FTOKEN@127.0.0.1:8025/base?tls=off"
    variants = ("sender=Shop",)
    samples = Path(__file__).parent / "samples"
    phone = "+15005550006"


@pytest.mark.parametrize(
    ("code", "kind"),
    [("invalid_number", "bad_number"), ("no_credit", "balance"), ("too_many", "rate")],
)
def test_every_documented_error_is_mapped(code: str, kind: str) -> None:
    assert $title.errors[code] is FailureKind(kind)
''',
    "tests/samples/sent.json": """{
  "about": "The message is accepted; the whole request",
  "order": {"channel": "sms", "code": "482193", "text": "Code: 482193"},
  "exchange": [
    {
      "request": {
        "method": "POST",
        "path": "/v1/messages",
        "query": {},
        "headers": {"Content-Type": "application/json", "Authorization": "Bearer FAKE/TOKEN"},
        "json": {"to": "+15005550006", "text": "Code: 482193"}
      },
      "response": {"status": 201, "body": {"id": "m-1"}}
    }
  ],
  "expect": {"receipt": {"reference": "m-1"}}
}
""",
    "tests/samples/no_credit.json": """{
  "about": "The balance is used up",
  "order": {"channel": "sms", "code": "482193", "text": "Code: 482193"},
  "exchange": [{"response": {"status": 402, "body": {"error": "no_credit", "message": "top up"}}}],
  "expect": {"refusal": "balance"}
}
""",
    "tests/samples/no_id.json": """{
  "about": "A success without an id: the message may be on its way",
  "order": {"channel": "sms", "code": "482193", "text": "Code: 482193"},
  "exchange": [{"response": {"status": 200, "body": {"accepted": true}}}],
  "expect": {"unclear": true}
}
""",
}
