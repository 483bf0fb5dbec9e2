"""Files and tables that the site creates at its first start, safe for concurrent workers."""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK_NUMBER = 0x70686F6E  # "phon": any number that no other program locks in this database


def secret_key(folder: Path) -> str:
    """Return the key in `folder`, generated once for all workers and readable by this user only."""
    path = folder / "secret_key"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=folder)  # mode 0600
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)  # atomic: only the first worker succeeds
        except FileExistsError:
            pass
        finally:
            os.unlink(draft)
    return path.read_text().strip()


def make_private_file(path: Path) -> None:
    """Create a missing file with mode 0600, before a database creates it with the default umask."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def make_tables() -> None:
    """Migrate the database; workers that start meanwhile wait."""
    from django.core.management import call_command
    from django.db import connections

    with _alone():
        call_command("migrate", interactive=False, verbosity=0)
    connections.close_all()


def make_staff(password: str | None) -> None:
    """Create the user `staff` with all permissions and this password; nothing without a password."""
    if not password:
        return
    from django.contrib.auth import get_user_model
    from django.db import connections

    with _alone():
        user, _ = get_user_model().objects.get_or_create(username="staff")
        # A password that is set again ends the sessions that another worker has opened meanwhile.
        if not (user.is_staff and user.check_password(password)):
            user.is_staff = user.is_superuser = True
            user.set_password(password)
            user.save()
    connections.close_all()


def make_client(client: str | None) -> None:
    """Create the OAuth client written as `id:secret`; nothing without one."""
    if not client:
        return
    from django.db import connections
    from oauth import put_client

    with _alone():
        put_client(client)
    connections.close_all()


@contextmanager
def _alone() -> Iterator[None]:
    from django.db import connection

    match connection.vendor:
        case "sqlite":
            import fcntl

            path = Path(connection.settings_dict["NAME"])
            with path.with_name(f"{path.name}.lock").open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield
        case "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK_NUMBER])
                try:
                    yield
                finally:
                    cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK_NUMBER])
        case "mysql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT GET_LOCK(%s, 60)", [str(_LOCK_NUMBER)])
                try:
                    yield
                finally:
                    cursor.execute("SELECT RELEASE_LOCK(%s)", [str(_LOCK_NUMBER)])
        case other:
            raise RuntimeError(f"this site makes its tables in SQLite, PostgreSQL or MySQL, not in {other}")
