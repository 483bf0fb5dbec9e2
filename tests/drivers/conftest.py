import pytest

pytest.register_assert_rewrite("phone_verify.testing.drivers")
