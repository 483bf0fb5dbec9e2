"""The README's five minutes, taken literally: its blocks are run here."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from . import forks

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")

#: Signs in through the pages of `application`, reading the code from the console output.
VISIT = """
import contextlib, io, re
from werkzeug.test import Client
client = Client(application)

def submit(path, **fields):
    page = client.get(path).text
    name, value = re.search(r'name="(csrf\\w+)" value="([^"]+)"', page).groups()
    return client.post(path, data={**fields, name: value}, headers={"Referer": "http://localhost" + path})

screen = io.StringIO()
with contextlib.redirect_stderr(screen):
    assert submit("/phone/login/", phone="+989120000000").status_code == 303
code = re.search(r"(\\d{6}) is your", screen.getvalue()).group(1)
answer = submit("/phone/code/", code=code)
assert answer.status_code == 303, answer.text
print("signed in, and sent to", answer.headers["Location"])
"""


def blocks(heading: str, language: str) -> list[str]:
    """Return the code blocks of one section."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def run(program: str, folder: Path) -> str:
    done = forks.run([sys.executable, "-c", program], cwd=folder, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readme_flask_site_works(tmp_path: Path) -> None:
    (program,) = blocks("Flask in five minutes", "python")
    (tmp_path / "app.py").write_text(program)
    said = run(f"from app import app as application\n{VISIT}\nprint(client.get('/').text)", tmp_path)
    assert said.splitlines() == ["signed in, and sent to /", "+989120000000"]
    assert (tmp_path / "instance" / "phone_verify.sqlite3").exists()


def test_readme_django_site_works(tmp_path: Path) -> None:
    (program,) = blocks("Django in five minutes", "python")
    chosen, routes = re.split(r"^# urls\.py\n", program, flags=re.MULTILINE)
    forks.run([sys.executable, "-m", "django", "startproject", "site5", str(tmp_path)]).check_returncode()
    # A reader extends the lists of a new project; here the new lists are joined to the old.
    chosen = chosen.replace("INSTALLED_APPS = [", "INSTALLED_APPS += [")
    routes = routes.replace("urlpatterns = [", "urlpatterns += [")
    with (tmp_path / "site5" / "settings.py").open("a") as settings:
        settings.write(chosen)
    with (tmp_path / "site5" / "urls.py").open("a") as urls:
        urls.write(routes)
    forks.run([sys.executable, "manage.py", "check"], cwd=tmp_path).check_returncode()
    forks.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=tmp_path).check_returncode()
    said = run(
        f"from site5.wsgi import application\n{VISIT}\nprint(client.get(answer.headers['Location']).status)", tmp_path
    )
    assert said.splitlines() == ["signed in, and sent to /phone/verify/", "200 OK"]


def test_every_provider_line_is_a_valid_configuration() -> None:
    from phone_verify.config.settings import Settings
    from phone_verify.config.site import build_site

    (lines,) = blocks("A provider is one line", "sh")
    for name, value in re.findall(r'PHONE_VERIFY_(\w+)="([^"]*)"', lines):
        settings = {name.lower(): value, "store": "memory:", "secret_keys": "k-key-for-tests-0123456789abcdef"}
        if name == "CHANNELS":
            settings |= {"sms": "console://", "flash_call": "ferzz://K@default"}
        assert build_site(Settings.from_mapping(settings)).verifier.channels
