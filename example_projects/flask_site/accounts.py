"""The users, in a table with the phone number as the account."""

from flask_login import UserMixin
from sqlalchemy import String, create_engine, select
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from tokens import claims_of


class Base(DeclarativeBase):
    """The site's tables."""


class User(UserMixin, Base):
    """A user, created at the first sign-in."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    phone: Mapped[str] = mapped_column(String(16), unique=True)  # E.164


class Accounts:
    """The users in one database."""

    def __init__(self, url):
        # Database errors and logs must not contain values: they would be phone numbers.
        self._engine = create_engine(url, hide_parameters=True, pool_pre_ping=True)
        try:
            Base.metadata.create_all(self._engine)
        except DBAPIError:
            # Another worker created the tables between the check and the attempt. Any other error occurs again.
            Base.metadata.create_all(self._engine)
        self._engine.dispose()  # forked workers must not inherit a connection

    def user(self, id):
        """Return the user with this id, or None."""
        with Session(self._engine) as database:
            return database.get(User, int(id)) if id.isdecimal() else None

    def user_for_token(self, token):
        """Return the user of a token and the time of the sign-in, or None."""
        claims = claims_of(token)
        return claims and (self.user(claims["sub"]), claims["auth_time"])

    def set_phone(self, user, redeemed):
        """Assign this verified number to a user; return False if it belongs to another user."""
        with Session(self._engine) as database:
            database.get(User, user.id).phone = redeemed.phone.e164
            try:
                database.commit()
            except IntegrityError:
                return False
        return True

    def user_for_phone(self, redeemed):
        """Return the user of this verified number, created if needed, and whether it is new."""
        phone = redeemed.phone.e164
        wanted = select(User).where(User.phone == phone)
        with Session(self._engine, expire_on_commit=False) as database:
            for form in redeemed.phone.forms:  # also the number that it was before its country added digits
                if user := database.scalar(select(User).where(User.phone == form)):
                    return user, False
            user = User(phone=phone)
            database.add(user)
            try:
                database.commit()
            except IntegrityError:
                # The same number was verified in two browsers concurrently, and the other was first.
                database.rollback()
                return database.scalars(wanted).one(), False
            return user, True
