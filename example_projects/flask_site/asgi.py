"""The site as an ASGI application: `uvicorn asgi:application` in this folder."""

from wsgi import application as site

from phone_verify_flask.asgi import asgi_app

application = asgi_app(site)
