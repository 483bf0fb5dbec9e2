"""A Flask site with login by phone: `gunicorn wsgi:application`, or `flask --app wsgi run`.

The environment alone configures it: `settings.py` reads the site's settings, PhoneVerify reads `PHONE_VERIFY_…`.
"""

import os

import settings
from accounts import Accounts
from flask import Flask, abort, current_app, render_template, request
from flask_login import LoginManager
from flask_wtf import CSRFProtect
from jinja2 import ChoiceLoader, PackageLoader, PrefixLoader
from pages import pages
from texts import language
from tokens import token_for_user

from phone_verify_flask import PhoneVerify


def create_app(environ=os.environ):
    """Return the site with its tables created."""
    app = Flask(__name__, instance_path=str(settings.VAR))
    app.config.update(settings.read(environ))
    app.before_request(refuse_unknown_hosts)
    csrf = CSRFProtect(app)

    accounts = Accounts(app.config["DATABASE_URL"])
    login_manager = LoginManager(app)
    login_manager.login_view = "phone_verify.login"
    login_manager.user_loader(accounts.user)

    phone_verify = PhoneVerify(app)
    phone_verify.user_for_phone(accounts.user_for_phone)
    phone_verify.set_phone_for_user(accounts.set_phone)
    phone_verify.token_for_user(token_for_user)
    phone_verify.user_for_token(accounts.user_for_token)

    # Our base.html extends the library's, which has the same name.
    library = PrefixLoader({"library": PackageLoader("phone_verify_flask")})
    app.jinja_loader = ChoiceLoader([app.jinja_loader, library])
    csrf.exempt(language)  # who changes a visitor's language does no harm, and its form is on every page
    app.register_blueprint(language)
    app.register_blueprint(pages)
    app.register_error_handler(404, not_found)
    if password := environ.get("STAFF_PASSWORD"):
        from staff import staff_pages  # needs the extra "services", and "reports" for reports

        zone = environ.get("STAFF_TIME_ZONE", "UTC")
        app.register_blueprint(staff_pages(password, zone), url_prefix="/staff")
    if client := environ.get("OAUTH_CLIENT"):
        from oauth import add_oauth  # needs the extra "authlib"

        add_oauth(app, accounts, csrf, client)
    return app


def refuse_unknown_hosts():
    """Respond with 400 to an unknown host.

    Flask's TRUSTED_HOSTS cannot name an IPv6 address, not even loopback, and Flask 3.0 does not have it.
    """
    if not settings.is_allowed(request.host, current_app.config["ALLOWED_HOSTS"]):
        abort(400)


def not_found(error):
    """Show the page for an unknown address."""
    return render_template("not_found.html"), 404


application = create_app()
