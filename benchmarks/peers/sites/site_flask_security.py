"""Flask-Security: unified sign-in of known users by a code by SMS, by its own views."""

import os
import uuid

import outbox
from flask import Flask
from flask_security import Security, SQLAlchemyUserDatastore
from flask_security.models import fsqla_v2 as fsqla
from flask_security.utils import SmsSenderBaseClass, SmsSenderFactory, hash_password
from flask_sqlalchemy import SQLAlchemy

application = Flask(__name__)
application.config.update(
    SECRET_KEY="a-key-for-benchmarks-0123456789abcdef",
    SECURITY_PASSWORD_SALT="146585145368132386173505678016728509634",
    SQLALCHEMY_DATABASE_URI=os.environ["BENCHMARK_DATABASE"].replace("postgresql:", "postgresql+psycopg:"),
    SECURITY_UNIFIED_SIGNIN=True,
    SECURITY_US_ENABLED_METHODS=["sms"],
    SECURITY_TOTP_SECRETS={"1": "TjQ9Qa31VOrfEzuPy4VHQWPCTmRzCnFzMKLxXYiZu9B"},
    SECURITY_TOTP_ISSUER="Example",
    SECURITY_SMS_SERVICE="outbox",
    SECURITY_USER_IDENTITY_ATTRIBUTES=[{"us_phone_number": {"mapper": lambda text: text}}],
    SECURITY_SEND_REGISTER_EMAIL=False,
    WTF_CSRF_ENABLED=False,
)
database = SQLAlchemy(application)
fsqla.FsModels.set_db_info(database)


class Role(database.Model, fsqla.FsRoleMixin):
    pass


class User(database.Model, fsqla.FsUserMixin):
    pass


class Sender(SmsSenderBaseClass):
    def send_sms(self, from_number: str, to_number: str, msg: str) -> None:
        outbox.send(to_number, "".join(filter(str.isdigit, msg)))


SmsSenderFactory.senders["outbox"] = Sender
datastore = SQLAlchemyUserDatastore(database, User, Role)
security = Security(application, datastore)

if os.environ.get("BENCHMARK_PREPARE"):
    with application.app_context():
        database.create_all()
        password = hash_password("a password that nobody uses")
        for place in range(int(os.environ["BENCHMARK_USERS"])):
            number = f"+98912{place:07d}"
            user = datastore.create_user(
                email=f"u{place}@example.com", password=password, fs_uniquifier=uuid.uuid4().hex, us_phone_number=number
            )
            datastore.us_set(user, "sms", security.totp_factory.generate_totp_secret(), number)
        datastore.commit()
