"""The site as a WSGI application: run `gunicorn wsgi:application` in this folder."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
application = get_wsgi_application()

from first_start import make_tables  # noqa: E402 - needs a Django that is set up

make_tables()
