"""`phone-verify init`: the projects that it changes run, and those that it cannot read stay as they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from phone_verify.cli.project import ProjectError, plan

from . import forks
from .test_cli import answer, environment

LOGIN_PAGE = """
import {module} as made
client = getattr(made, {name!r})
client = (client() if callable(client) and not hasattr(client, "test_client") else client).test_client()
page = client.get("/phone/login/")
print(page.status_code, "name=\\"phone\\"" in page.text, client.get("/").text)
"""

TEN_LINES = """\
from flask import Flask

app = Flask(__name__)
app.config["DEBUG"] = True


@app.get("/")
def home():
    return "Hello"
"""

FACTORY = '''\
"""The shop."""

from flask import Flask
from flask_login import LoginManager

login_manager = LoginManager()


@login_manager.user_loader
def load_user(id):
    return None


def create_app():
    app = Flask(__name__)
    app.secret_key = "a-key-of-the-shop-0123456789-abcdefgh"
    login_manager.init_app(app)
    app.add_url_rule("/", view_func=lambda: "Hello")
    return app
'''


def python(folder: Path, *words: str) -> str:
    done = forks.run([sys.executable, *words], cwd=folder, env=environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A fresh Django project."""
    python(tmp_path, "-m", "django", "startproject", "shop", ".")
    return tmp_path


def test_fresh_django_project_passes_its_checks_and_serves_login(project: Path) -> None:
    status, said = answer("init", "--region", "IR", "--yes", folder=project)
    assert status == 0
    assert '+    path("phone/", include("phone_verify_django.urls")),' in said
    assert '+LOGIN_REDIRECT_URL = "/"  # a page of your site, shown after signing in' in said
    assert "✓ Wrote shop/settings.py" in said
    assert "no issues" in python(project, "manage.py", "check", "--fail-level", "WARNING")
    program = (
        "import django; django.setup()\n"
        "from django.test import Client; from django.core.management import call_command\n"
        "call_command('migrate', verbosity=0); page = Client().get('/phone/login/', HTTP_HOST='127.0.0.1')\n"
        "print(page.status_code, 'name=\"phone\"' in page.content.decode())"
    )
    environ = environment(DJANGO_SETTINGS_MODULE="shop.settings")
    done = forks.run([sys.executable, "-c", program], cwd=project, env=environ, timeout=60)
    assert done.stdout == "200 True\n", done.stderr


def test_overridden_variables_are_named_without_their_values(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environ = {"PHONE_VERIFY_SMS": "amoot://FAKE-TOKEN@default", "PHONE_VERIFY_REGION": "DE"}
    status, said = answer("init", "--region", "IR", folder=project, typed="n\n", **environ)
    assert status == 1, "not confirmed"
    said = " ".join(said.split())
    assert "PHONE_VERIFY_SMS is set in the environment, but the code above sets sms too, which takes precedence" in said
    assert "precedence while DEBUG is on. To use the variable, remove sms" in said
    assert "PHONE_VERIFY_REGION is set in the environment, but the code above sets region too" in said
    assert "PHONE_VERIFY_ALLOWED_REGIONS is set" not in said
    assert "FAKE-TOKEN" not in said
    said = answer("init", folder=project, typed="n\n")[1]
    assert "is set in the environment" not in said
    flask = tmp_path_factory.mktemp("flask")
    (flask / "app.py").write_text(TEN_LINES)
    said = answer("init", "--region", "IR", folder=flask, typed="n\n", **environ)[1]
    assert "PHONE_VERIFY_REGION is set" in said
    assert "PHONE_VERIFY_SMS is set" not in said, "Flask uses the variable"


def test_ten_line_flask_application_serves_login(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(TEN_LINES)
    status, said = answer("init", "--region", "IR", "--yes", folder=tmp_path)
    assert (status, "flask --app app run" in said) == (0, True)
    added = set((tmp_path / "app.py").read_text().splitlines()) - set(TEN_LINES.splitlines())
    assert added == {"import phone_login", "phone_login.init_app(app)"}
    assert python(tmp_path, "-c", LOGIN_PAGE.format(module="app", name="app")) == "200 True Hello\n"


def test_factory_with_a_login_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").write_text(FACTORY)
    status, said = answer("init", "--yes", folder=tmp_path)
    assert (status, "flask --app shop run" in said) == (0, True)
    assert "Write user_for_phone in shop/phone_login.py" in said
    assert "login_manager" not in (tmp_path / "shop" / "phone_login.py").read_text()
    assert python(tmp_path, "-c", LOGIN_PAGE.format(module="shop", name="create_app")) == "200 True Hello\n"


def test_nothing_is_written_without_confirmation(project: Path) -> None:
    before = (project / "shop" / "settings.py").read_text()
    for typed in ("n\n", ""):
        status, said = answer("init", folder=project, typed=typed)
        assert (status, "Write these changes?" in said) == (1, True)
    assert (project / "shop" / "settings.py").read_text() == before


def test_configured_project_is_not_touched_again(project: Path) -> None:
    (project / "app.py").write_text(TEN_LINES)
    assert answer("init", "--yes", folder=project)[0] == 0
    after = {path: path.read_text() for path in project.rglob("*.py")}
    status, said = answer("init", "--yes", folder=project)
    assert (status, "uses phone_verify already" in said) == (1, True)
    assert {path: path.read_text() for path in project.rglob("*.py")} == after


def django_files(folder: Path, settings: str, urls: str) -> Path:
    (folder / "manage.py").write_text('os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site5.dev")\n')
    (folder / "site5").mkdir()
    (folder / "site5" / "dev.py").write_text(settings)
    (folder / "site5" / "base.py").write_text('ROOT_URLCONF = "site5.urls"\nMIDDLEWARE = ()\nINSTALLED_APPS = []\n')
    (folder / "site5" / "urls.py").write_text(urls)
    return folder


URLS = "from django.urls import re_path as path5\nurlpatterns = [path5('', home)]\n"


def test_split_settings_and_unusual_routes_are_extended(tmp_path: Path) -> None:
    made = plan(django_files(tmp_path, "from .base import *\n", URLS), None)
    settings, urls = (change.after for change in made.changes)
    assert 'MIDDLEWARE = [*MIDDLEWARE, "phone_verify_django.middleware.PhoneSessionMiddleware"]' in settings
    assert "LOGIN_REDIRECT_URL" not in settings  # base may have one
    assert "from django.urls import include, path\n" in urls
    assert urls.endswith('urlpatterns = [*urlpatterns, path("phone/", include("phone_verify_django.urls"))]\n')
    compile(settings + urls, "both", "exec")


SETUP = """\
import os
from flask import Flask
from extensions import db

app: Flask = Flask(__name__)
app.config.from_mapping(A=1)
db.init_app(app)
app.secret_key = os.urandom(32)


@app.get("/")
def home():
    return "Hello"


if __name__ == "__main__":
    app.run()
"""


def test_lines_follow_the_imports_and_the_set_up(tmp_path: Path) -> None:
    (tmp_path / "wsgi.py").write_text(SETUP)
    new, changed = plan(tmp_path, "IR").changes
    assert new.before is None
    assert "PHONE_VERIFY_REGION" in new.after
    expected = SETUP.replace("import db\n", "import db\nimport phone_login\n")
    assert changed.after == expected.replace("(32)\n", "(32)\nphone_login.init_app(app)\n")


@pytest.mark.parametrize(("files", "words"), [
    ({}, "no manage.py, and no Flask application"),
    ({"manage.py": "x = 1"}, "manage.py names no settings"),
    ({"manage.py": 'DJANGO_SETTINGS_MODULE", "nowhere"'}, "nowhere.py does not exist"),
    ({"app.py": "from flask import Flask\napp = Flask(__name__"}, "app.py is not valid Python: line 2"),
    ({"app.py": TEN_LINES, "wsgi.py": TEN_LINES}, "several files create a Flask application (app.py, wsgi.py)"),
    ({"app.py": TEN_LINES + "other = Flask(__name__)\n"}, "creates several Flask applications"),
    ({"app.py": TEN_LINES, "phone_login.py": ""}, "phone_login.py exists already"),
    ({"app.py": FACTORY.replace("return app", "return wrapped(app)")}, "does not end with `return app`"),
])  # fmt: skip
def test_project_that_cannot_be_read_is_refused(files: dict[str, str], words: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ProjectError) as refused:
        plan(tmp_path, None)
    assert words in str(refused.value)
    assert answer("init", "--yes", folder=tmp_path)[0] == 1
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize(("settings", "words"), [
    ("ROOT_URLCONF = 'site5.urls'\nMIDDLEWARE = []\n", "dev.py has no INSTALLED_APPS"),
    ("INSTALLED_APPS = []\nMIDDLEWARE = []\n", "dev.py has no ROOT_URLCONF"),
])  # fmt: skip
def test_settings_without_what_is_needed_are_refused(settings: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match=words):
        plan(django_files(tmp_path, settings, URLS), None)


def test_environments_are_not_searched_and_line_ends_stay(tmp_path: Path) -> None:
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    (tmp_path / "env" / "lib.py").write_text("import phone_verify")
    (tmp_path / "app.py").write_text(TEN_LINES, newline="\r\n")
    for change in plan(tmp_path, None).changes:
        change.write()
    assert (tmp_path / "app.py").read_bytes().count(b"\r\n") == len(TEN_LINES.splitlines()) + 2


def test_unknown_region_is_refused(tmp_path: Path) -> None:
    assert answer("init", "--region", "Iran", folder=tmp_path)[0] == 2
