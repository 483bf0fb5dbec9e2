"""The users: a table in which the phone number is the account."""

from flask_login import UserMixin
from sqlalchemy import String, create_engine, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """The site's tables."""


class User(UserMixin, Base):
    """Somebody who has signed in once."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str] = mapped_column(String(16), unique=True)  # E.164


class Accounts:
    """The users of one database."""

    def __init__(self, url):
        # Errors and logs of the database name no values: they would be phone numbers.
        self._engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
        try:
            Base.metadata.create_all(self._engine)
        except DBAPIError:
            # Another worker made the tables between our look and our attempt. If it was something else, it shows again.
            Base.metadata.create_all(self._engine)
        self._engine.dispose()  # no connection is carried into workers that are forked from here

    def user(self, id):
        """The user of this id, or None."""
        with Session(self._engine) as database:
            return database.get(User, int(id)) if id.isdecimal() else None

    def set_phone(self, user, redeemed):
        """Give a user this verified number; False if somebody else has it."""
        with Session(self._engine) as database:
            database.get(User, user.id).phone = redeemed.phone.e164
            try:
                database.commit()
            except IntegrityError:
                return False
        return True

    def user_for_phone(self, redeemed):
        """The user of this verified number, made if there is none, and whether it is new."""
        phone = redeemed.phone.e164
        wanted = select(User).where(User.phone == phone)
        with Session(self._engine, expire_on_commit=False) as database:
            if user := database.scalar(wanted):
                return user, False
            user = User(phone=phone)
            database.add(user)
            try:
                database.commit()
            except IntegrityError:
                # The same number was verified in two browsers at once, and the other was first.
                database.rollback()
                return database.scalars(wanted).one(), False
            return user, True
