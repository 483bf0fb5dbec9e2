"""The site as an ASGI application: run `uvicorn asgi:application` in this folder."""

import os
from concurrent.futures import ThreadPoolExecutor

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
# Serves static files too, which a real site leaves to its web server.
application = ASGIStaticFilesHandler(get_asgi_application())

from first_start import make_client, make_staff, make_tables  # noqa: E402 - needs a Django that is set up

# In a thread: servers import this module inside their event loop, where Django forbids database queries.
with ThreadPoolExecutor(1) as apart:
    apart.submit(make_tables).result()
    apart.submit(make_staff, os.environ.get("STAFF_PASSWORD")).result()
    apart.submit(make_client, os.environ.get("OAUTH_CLIENT")).result()
