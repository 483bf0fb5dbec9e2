"""Proofs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_verify.codes import Keyring
from phone_verify.tokens.proof import Proofs

NOW = datetime(2030, 1, 1, tzinfo=UTC)
ID = "A" * 44
OLD, NEW = "o-key-for-tests-0123456789abcdef", "n-key-for-tests-0123456789abcdef"


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@pytest.fixture
def proofs() -> Proofs:
    return Proofs(Keyring([NEW, OLD]), "https://site.example")


def test_proof_names_its_verification_and_is_deterministic(proofs: Proofs) -> None:
    proof = proofs.sign(ID, "login", NOW)
    assert proofs.sign(ID, "login", NOW) == proof
    assert proofs.verify(proof, ["signup", "login"], later(10)) == ID


def test_another_purpose_audience_or_key_is_refused(proofs: Proofs) -> None:
    proof = proofs.sign(ID, "login", NOW)
    assert proofs.verify(proof, ["change_phone", "signup"], NOW) is None
    assert proofs.verify(proof, [], NOW) is None
    assert Proofs(Keyring([NEW, OLD]), "https://other.example").verify(proof, ["login"], NOW) is None
    assert Proofs(Keyring([OLD]), "https://site.example").verify(proof, ["login"], NOW) is None


def test_old_key_verifies_only_while_listed(proofs: Proofs) -> None:
    proof = Proofs(Keyring([OLD]), "https://site.example").sign(ID, "login", NOW)
    assert proofs.verify(proof, ["login"], NOW) == ID
    assert Proofs(Keyring([NEW]), "https://site.example").verify(proof, ["login"], NOW) is None


@pytest.mark.parametrize(("age", "good"), [(-31, False), (-29, True), (0, True), (299, True), (331, False)])
def test_age_counts_with_thirty_seconds_of_leeway(proofs: Proofs, age: float, good: bool) -> None:
    read = proofs.verify(proofs.sign(ID, "login", NOW), ["login"], later(age))
    assert (read == ID) is good


@pytest.mark.parametrize("value", ["", "short", "A" * 45, "A" * 43 + "!", "A" * 44 + "\n"])
def test_signed_nonsense_is_refused(proofs: Proofs, value: str) -> None:
    proof = proofs.sign(ID, "login", NOW)
    signed = proofs._signer("login", "https://site.example").sign_at(value, NOW)
    assert proofs.verify(signed, ["login"], NOW) is None
    assert proofs.verify(proof + "x", ["login"], NOW) is None


def test_signature_is_sha256_under_the_newest_key(proofs: Proofs) -> None:
    assert len(proofs._signer("login", "https://site.example").get_signature(b"x")) == 43  # 32 bytes in base64
    assert proofs.sign(ID, "login", NOW) == Proofs(Keyring([NEW]), "https://site.example").sign(ID, "login", NOW)


def test_purpose_and_audience_cannot_be_shifted_into_each_other() -> None:
    proof = Proofs(Keyring([NEW]), "ab").sign(ID, "login", NOW)
    assert Proofs(Keyring([NEW]), "b").verify(proof, ["logina"], NOW) is None


@given(st.text(st.characters(), max_size=200) | st.just("\ud800"))
def test_any_proof_text_is_accepted_or_refused(text: str) -> None:
    assert Proofs(Keyring([NEW]), "a").verify(text, ["login"], NOW) is None


def test_proof_shows_only_verification_and_time(proofs: Proofs) -> None:
    id, stamp, signature = proofs.sign(ID, "login", NOW).split(".")
    assert id == ID
    assert len(stamp) == 6
    assert len(signature) == 43
