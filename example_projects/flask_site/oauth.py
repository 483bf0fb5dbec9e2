"""An OAuth client that signs users in by their number, with Authlib; on if OAUTH_CLIENT=id:secret is set."""

import time

from accounts import Base
from authlib.integrations.flask_oauth2 import ResourceProtector, current_token
from authlib.integrations.sqla_oauth2 import OAuth2ClientMixin, OAuth2TokenMixin
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Blueprint, jsonify
from sqlalchemy import create_engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, Session, mapped_column

from phone_verify_flask.authlib import JsonAuthorizationServer, MobileVerification

SCOPES = "phone_verify profile"
GRANTS = ["client_credentials", "mobile_verification"]


class Client(OAuth2ClientMixin, Base):
    """A client."""

    __tablename__ = "oauth_clients"

    id: Mapped[int] = mapped_column(primary_key=True)


class Token(OAuth2TokenMixin, Base):
    """A token of a client, or of a user."""

    __tablename__ = "oauth_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None]


class Tokens:
    """The clients and tokens in one database, which has the users too."""

    def __init__(self, url):
        self._engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
        try:
            Base.metadata.create_all(self._engine)
        except DBAPIError:  # as in accounts.py
            Base.metadata.create_all(self._engine)
        self._engine.dispose()

    def put_client(self, id, secret):
        """Store the client, in place of an earlier one with this id."""
        with Session(self._engine) as database:
            client = database.scalar(select(Client).filter_by(client_id=id)) or Client(client_id=id)
            client.client_secret, client.client_id_issued_at = secret, int(time.time())
            client.set_client_metadata(
                {"grant_types": GRANTS, "token_endpoint_auth_method": "client_secret_basic", "scope": SCOPES}
            )
            database.add(client)
            database.commit()
        self._engine.dispose()

    def client(self, id):
        """Return the client with this id, or None."""
        with Session(self._engine) as database:
            return database.scalar(select(Client).filter_by(client_id=id))

    def save(self, token, request):
        """Store an issued token."""
        user_id = request.user.id if request.user else None
        with Session(self._engine) as database:
            database.add(Token(client_id=request.client.client_id, user_id=user_id, **token))
            database.commit()

    def find(self, text):
        """Return the access token with this text, or None."""
        with Session(self._engine) as database:
            return database.scalar(select(Token).filter_by(access_token=text))


def add_oauth(app, accounts, csrf, client):
    """Add the token endpoint, one resource, and the client, written as `id:secret`."""
    tokens = Tokens(app.config["DATABASE_URL"])
    tokens.put_client(*client.split(":", 1))

    class Validator(BearerTokenValidator):
        def authenticate_token(self, token_string):
            return tokens.find(token_string)

    require_oauth = ResourceProtector()
    require_oauth.register_token_validator(Validator())
    server = JsonAuthorizationServer(app, tokens.client, tokens.save)
    server.register_grant(ClientCredentialsGrant)
    MobileVerification(app, server, require_oauth).register("mobile_verification")

    oauth = Blueprint("oauth", __name__)

    @oauth.post("/o/token/")
    def token():
        return server.create_token_response()

    @oauth.get("/api/me/")
    @require_oauth("profile")
    def me():
        return jsonify(phone=accounts.user(str(current_token.user_id)).phone)

    csrf.exempt(oauth)  # clients authenticate in each request, and send no cookie
    app.register_blueprint(oauth)
