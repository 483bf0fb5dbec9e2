"""The site as a WSGI application: run `gunicorn wsgi:application` in this folder."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
# Serves static files too, which a real site leaves to its web server.
application = StaticFilesHandler(get_wsgi_application())

from first_start import make_client, make_staff, make_tables  # noqa: E402 - needs a Django that is set up

make_tables()
make_staff(os.environ.get("STAFF_PASSWORD"))
make_client(os.environ.get("OAUTH_CLIENT"))
