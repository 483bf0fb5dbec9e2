"""Values that outlive a deployment: signed, derived or stored by one version and read by the next.

Each is compared with the value that the first version produced. If one of these tests fails, open
verifications end, trusted devices are forgotten, counters restart or webhook URLs change.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from phone_verify.codes import Keyring, binding_digest
from phone_verify.phone import PhoneNumber
from phone_verify.tokens.proof import Proofs
from phone_verify.tokens.trusted_device import TrustedDevices

KEYRING = Keyring(["o-key-for-tests-0123456789abcdef"], "t-key-for-tests-0123456789abcdef")
PHONE, ID, NOW = PhoneNumber("+989120000000"), "A" * 44, datetime(2030, 1, 1, tzinfo=UTC)
AUDIENCE = "https://site.example"
PROOF = f"{ID}.cNvYgA.EjUjbvnGtCoAUCl6ToqGpuwN8CIPea70AcOW5t3sovY"
DEVICE = "youVNaNdXTLAS9ckigWwOw.cNvYgA.i7qn4vu6Y3TJfPqS5vxNNr2GMshMVbcx-jSyy0tJ8z8"

#: The user "7", next to that cookie.
SEALED = "IZwwr82M9j9SATHxXmXM5Js"


def test_proof_of_the_first_version_is_accepted() -> None:
    assert Proofs(KEYRING, AUDIENCE).verify(PROOF, ["login"], NOW) == ID


def test_device_cookie_of_the_first_version_is_recognized() -> None:
    assert TrustedDevices(KEYRING, AUDIENCE).recognizes(DEVICE, KEYRING.tag(PHONE), NOW)


def test_user_in_the_device_cookie_of_the_first_version_is_read() -> None:
    found = TrustedDevices(KEYRING, AUDIENCE).user_of(f"{DEVICE}~{SEALED}~sms", NOW)
    assert found == ("7", KEYRING.tag(PHONE))


@pytest.mark.parametrize(
    ("value", "first"),
    [
        (KEYRING.tag(PHONE), "youVNaNdXTLAS9ckigWwOw"),
        (KEYRING.key_id, "9e20a746"),
        (KEYRING.derive(KEYRING.key_id, ID, PHONE, "login", 1, 6), "740594"),
        (KEYRING.digest(ID, "482193").hex()[:16], "29fbe70125e91f33"),
        (binding_digest("s" * 22).hex()[:16], "e38e0727cadef0ea"),
        (KEYRING.bucket("address", "192.0.2.1"), "address:5YaXqmaeMY2KFPU5ygUa7Q"),
        (KEYRING.subject("7"), "pvxvmGlbOGIH8CQTRm-u9Q"),
        (KEYRING.webhook_secrets[0], "8c99136b062c466ca1407f5fded1f241a3b272c6f98"),
    ],
    ids=["tag", "key id", "code", "code digest", "binding", "bucket", "subject", "webhook secret"],
)
def test_value_is_that_of_the_first_version(value: str, first: str) -> None:
    assert value == first
