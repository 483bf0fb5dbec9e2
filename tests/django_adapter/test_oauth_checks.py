"""The system checks of the bridge to django-oauth-toolkit, in a new process for each project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import forks

from . import projects

pytest.importorskip("oauth2_provider")

BACKEND = 'OAUTH2_PROVIDER["OAUTH2_BACKEND_CLASS"]'
GRANTS = 'PHONE_VERIFY["oauth_grants"]'
MISTAKES = [
    ('INSTALLED_APPS.remove("oauth2_provider")', "E001", "Add 'oauth2_provider'"),
    (f"del {BACKEND}", "E002", "PhoneVerifyOAuthCore"),
    (f'{BACKEND} = "oauth2_provider.oauth2_backends.JSONOAuthLibCore"', "E002", "PhoneVerifyGrants"),
    ('del OAUTH2_PROVIDER["SCOPES"]["phone_verify"]', "E003", "'phone_verify': 'Verify phone numbers'"),
    (f"del {GRANTS}", "E004", "mobile_verification"),
    (f"{GRANTS} = []", "E004", "Set it to a dict"),
    (f'{GRANTS} = {{"password": {{"clients": ["a"]}}}}', "E004", "event_mobile_verification"),
    (f'{GRANTS} = {{"mobile_verification": ["a"]}}', "E004", "is not a dict"),
    (f'{GRANTS} = {{"mobile_verification": {{}}}}', "E004", "names no client"),
    (f'{GRANTS} = {{"mobile_verification": {{"clients": "a"}}}}', "E004", "names no client"),
    (f'{GRANTS} = {{"mobile_verification": {{"client": ["a"]}}}}', "E004", "unknown key 'client'"),
    (
        f'{GRANTS} = {{"mobile_verification": {{"clients": ["a"], "judge": "nowhere.at"}}}}',
        "E004",
        "cannot be imported",
    ),
    (f'{GRANTS} = {{"mobile_verification": {{"clients": ["a"], "judge": 7}}}}', "E004", "is not a function"),
    (f'{GRANTS} = {{"mobile_verification": {{"clients": ["a"], "purposes": ["tickets"]}}}}', "E004", "tickets:open"),
    (f'{GRANTS} = {{"mobile_verification": {{"clients": ["a"], "purposes": "login"}}}}', "E004", "list of purposes"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    projects.start(folder)
    for name, text in projects.files(projects.section("oauth.md", "Django")):
        projects.write(folder, name, text)
    return folder


def run(folder: Path, settings: str, *command: str) -> subprocess.CompletedProcess[str]:
    (folder / "shop" / "changed.py").write_text(f"from .settings import *\n{settings}\n", "utf-8")
    if "oauth2_provider" in settings and "remove" in settings:
        (folder / "shop" / "no_urls.py").write_text("urlpatterns = []\n", "utf-8")
        with (folder / "shop" / "changed.py").open("a", encoding="utf-8") as file:
            file.write('ROOT_URLCONF = "shop.no_urls"\n')
    whole = [sys.executable, "manage.py", *command, "--settings=shop.changed"]
    return forks.run(whole, cwd=folder, timeout=60)


def test_documented_site_has_no_complaint(project: Path) -> None:
    done = run(project, "", "check")
    assert (done.returncode, "phone_verify_oauth" in done.stderr) == (0, False), done.stderr


@pytest.mark.parametrize(("settings", "id", "says"), MISTAKES)
def test_mistake_is_reported(project: Path, settings: str, id: str, says: str) -> None:
    checked = run(project, settings, "check")
    assert f"phone_verify_oauth_toolkit.{id}" in checked.stderr, checked.stderr
    assert says in checked.stderr


def test_mistake_stops_the_start(project: Path) -> None:
    started = run(project, f"{GRANTS} = []", "shell", "-c", "pass")
    assert started.returncode != 0
    assert "Set it to a dict" in started.stderr


def test_setting_without_the_bridge_is_reported(project: Path) -> None:
    settings = 'INSTALLED_APPS.remove("phone_verify_django.oauth_toolkit")'
    checked = run(project, settings, "check")
    assert "Add 'phone_verify_django.oauth_toolkit' to INSTALLED_APPS" in checked.stderr
