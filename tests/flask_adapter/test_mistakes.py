"""Each mistake of a site's owner, made once: the start, the doctor and the log say what to write, before a message is
paid.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_login import LoginManager
from werkzeug.middleware.proxy_fix import ProxyFix

from phone_verify.errors import ConfigurationError
from phone_verify_flask import PhoneVerify
from tests import forks

from .sites import KEY, PHONE, Made, make, start, with_database

ROOT = Path(__file__).parents[2]
SMS = "amoot://FAKE-CREDENTIAL@default"


def application(**config: Any) -> Flask:
    app = Flask("site")
    app.config.update({"SECRET_KEY": KEY, "PHONE_VERIFY_SMS": SMS, "PHONE_VERIFY_STORE": "memory:", **config})
    return app


def examined(app: Flask) -> str:
    """Return what `flask phone-verify doctor` says, on one line."""
    result = app.test_cli_runner().invoke(args=["phone-verify", "doctor", "--offline"])
    return " ".join(result.output.split())


MISTAKES = [
    ({"SECRET_KEY": None}, ["Flask's SECRET_KEY is not set", "token_urlsafe"]),
    ({"SECRET_KEY": "short"}, ["SECRET_KEY", "32 characters", "token_urlsafe"]),
    ({"PHONE_VERIFY_SSM": SMS}, ["PHONE_VERIFY_SSM", "Did you mean PHONE_VERIFY_SMS?"]),
    ({"PHONE_VERIFY_SMS": "telefon_ip://T@default"}, ["PHONE_VERIFY_SMS", "Did you mean 'telefon-ip'?"]),
    ({"PHONE_VERIFY_SMS": "ferzz://KEY@default"}, [
        "ferzz:// does not carry sms; it carries flash_call",
        'Set app.config["PHONE_VERIFY_FLASH_CALL"] = "ferzz://ACCESS_KEY@default"',
    ]),
    ({"PHONE_VERIFY_SMS": "amoot://T@default?name=a amoot://U@default?name=a"}, [
        "two drivers are named 'a'", "Name this one differently: amoot://…?name=a-2",
    ]),
    ({"PHONE_VERIFY": {"sms": SMS, "ttl": 60}}, [
        'app.config["PHONE_VERIFY"] is not read',
        'Write app.config["PHONE_VERIFY_SMS"] = … and app.config["PHONE_VERIFY_TTL"] = …',
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("config", "words"), MISTAKES)
def test_mistake_is_named_at_startup_and_by_the_doctor(
    config: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        PhoneVerify(application(**config))
    assert all(word in str(refused.value) for word in words), str(refused.value)
    assert "FAKE-CREDENTIAL" not in str(refused.value)
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\nfrom phone_verify_flask import PhoneVerify\napp = Flask('site')\n"
        f"app.config.update({ {'SECRET_KEY': KEY, 'PHONE_VERIFY_SMS': SMS, **config}!r})\nPhoneVerify(app)\n",
        "utf-8",
    )
    status, said = run(tmp_path, DOCTOR)
    assert status == 1
    found = json.loads(said)["findings"]
    texts = " ".join(f"{each['setting']} {each['message']} {each['advice']}" for each in found)
    assert all(word.lower() in texts.lower() for word in words), texts
    assert "FAKE-CREDENTIAL" not in texts


DOCTOR = """
import sys
from phone_verify.cli.main import main
sys.argv = ["phone-verify", "doctor", "--flask", "shop:app", "--offline", "--json"]
main()
"""


def run(folder: Path, program: str, *, package: str = "") -> tuple[int, str]:
    """Run a program in this folder, without `package`; return status and output."""
    blocked = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PHONE_VERIFY_", "FLASK_"))}
    environ["PYTHONPATH"] = f"{folder}:{ROOT}"
    if package:
        command = [sys.executable, "-c", blocked + program]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)
    else:
        command = [sys.executable, "-c", program]
        done = forks.run(command, cwd=folder, env=environ, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("sms", [None, "", []])
def test_site_without_channel_is_reported_and_logged(sms: object, caplog: pytest.LogCaptureFixture) -> None:
    app = application(PHONE_VERIFY_SMS=sms)
    PhoneVerify(app)
    for said in (caplog.text, examined(app)):
        assert "o channel is configured" in said
        assert 'Set app.config["PHONE_VERIFY_SMS"] = "console://"' in said
        assert ("(PHONE_VERIFY_SMS is empty)" in said) is (sms is not None)


def test_empty_region_list_is_not_set() -> None:
    app = application(PHONE_VERIFY_ALLOWED_REGIONS=[])
    PhoneVerify(app)
    assert "any country" in examined(app)


def test_setting_of_the_environment_is_named_as_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONE_VERIFY_SMS", "ferzz://KEY@default")
    app = application()
    del app.config["PHONE_VERIFY_SMS"]
    with pytest.raises(ConfigurationError, match=r"Set PHONE_VERIFY_FLASH_CALL=ferzz://ACCESS_KEY@default"):
        PhoneVerify(app)


@pytest.mark.parametrize(
    ("logins", "hook", "words"),
    [
        (False, True, "Write login_manager = LoginManager(app)"),
        (True, False, "under @phone_verify.user_for_phone"),
        (True, True, None),
    ],
)
def test_site_that_signs_no_user_in_is_reported(logins: bool, hook: bool, words: str | None) -> None:
    app = application()
    if logins:
        LoginManager(app).user_loader(lambda user_id: None)
    extension = PhoneVerify(app)
    if hook:
        extension.user_for_phone(lambda redeemed: None)
    said = examined(app)
    assert ("PV107" in said) is (words is not None)
    if words is not None:
        assert words in said
        app.testing = True
        with pytest.raises(ConfigurationError, match="sign-in requires"):
            app.test_client().get("/phone/login/")


@pytest.mark.parametrize(
    ("returned", "words"),
    [("a text", "returned str"), (("a", "b", "c"), "returned (str, str, str)"), (7, "returned int"), ((), "()")],
)
def test_wrong_return_of_user_for_phone_is_reported(returned: object, words: str) -> None:
    made = make()
    made.app.extensions["phone_verify"].accounts.user_for_phone = lambda redeemed: returned
    with pytest.raises(ConfigurationError) as refused:
        sign_in(made)
    assert words in str(refused.value)
    assert "Return the user" in str(refused.value)
    assert "a text" not in str(refused.value)


def sign_in(made: Made) -> int:
    client = made.app.test_client()
    id = start(client)["id"]
    proof = client.post(f"/phone/v1/verifications/{id}/check", json={"code": made.code}).get_json()["proof"]
    return client.post("/phone/v1/session", json={"proof": proof}).status_code


def test_user_may_be_returned_alone() -> None:
    made = make()
    made.app.extensions["phone_verify"].accounts.user_for_phone = lambda redeemed: made.find_or_make(redeemed)[0]
    assert sign_in(made) == 200
    made.app.extensions["phone_verify"].accounts.user_for_phone = lambda redeemed: None
    assert sign_in(made) == 403


def test_forgotten_upgrade_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from flask_sqlalchemy import SQLAlchemy

    app = application(
        PHONE_VERIFY_SMS="console://",
        PHONE_VERIFY_STORE=None,
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path / 'site.sqlite3'}?timeout=20",
        WTF_CSRF_ENABLED=False,
    )
    db = SQLAlchemy(app)
    with_database.append((app, db))
    LoginManager(app).user_loader(lambda user_id: None)
    PhoneVerify(app, db=db).user_for_phone(lambda redeemed: None)
    client = app.test_client()
    started = client.post("/phone/v1/verifications", json={"phone": PHONE})
    assert started.status_code == 503
    assert "a table is missing; run: flask db upgrade" in caplog.text
    assert "nothing was sent" not in started.get_json()["detail"]


@pytest.mark.parametrize("package", ["flask_login", "flask_wtf", "rich"])
def test_missing_package_of_the_extra_is_named(tmp_path: Path, package: str) -> None:
    status, said = run(tmp_path, "import phone_verify_flask", package=package)
    assert status == 1
    assert said.strip().endswith(
        f"phone_verify_flask cannot be loaded: No module named '{package}'. Run: pip install 'phone-verify[flask]'"
    )
    assert f"ModuleNotFoundError: No module named '{package}'" in said, "the cause is kept"


@pytest.mark.slow
@pytest.mark.parametrize("package", ["flask_security", "passlib"])
def test_missing_package_of_the_bridge_is_named(tmp_path: Path, package: str) -> None:
    status, said = run(tmp_path, "import phone_verify_flask.flask_security", package=package)
    assert status == 1
    assert f"No module named '{package}" in said.splitlines()[-1]
    assert "Run: pip install 'phone-verify[security]'" in said.splitlines()[-1]


@pytest.mark.parametrize(("hops", "noted"), [(None, True), (0, True), (1, False)])
def test_doctor_reads_the_proxy_of_https(hops: int | None, noted: bool) -> None:
    app = application(
        PHONE_VERIFY_SMS="console://",
        PHONE_VERIFY_PUBLIC_URL="https://shop.example",
        PHONE_VERIFY_TRUSTED_PROXIES=1,
    )
    PhoneVerify(app)
    if hops is not None:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=0, x_proto=hops)  # type: ignore[method-assign]
    assert ("ProxyFix" in examined(app)) is noted


def test_unknown_channel_names_those_that_exist() -> None:
    made = make()
    refused = made.app.test_client().post("/phone/v1/verifications", json={"phone": PHONE, "channel": "SMS"})
    assert refused.status_code == 400
    assert "sms, flash_call, inbound_call, voice" in refused.get_json()["detail"]
