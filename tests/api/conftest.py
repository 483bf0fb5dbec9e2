"""The blocking and async verifier, as in the tests of the core."""

from tests.core.conftest import face

__all__ = ["face"]
