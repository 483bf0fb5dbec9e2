"""The site's own pages: who is signed in, the profile, one for members, and one behind a fresh check."""

from datetime import timedelta

from flask import Blueprint, render_template

from phone_verify_flask import last_phone_check, phone_verified_required, recent_phone_check_required

pages = Blueprint("pages", __name__)


@pages.get("/")
def home():
    """Who is signed in."""
    return render_template("home.html")


@pages.get("/profile")
@phone_verified_required
def profile():
    """The own number, and where to change it."""
    return render_template("profile.html")


@pages.get("/members")
@phone_verified_required
def members():
    """A page for who has a number."""
    return render_template("members.html")


@pages.get("/payout")
@recent_phone_check_required(timedelta(minutes=5))
def payout():
    """A page for who has proven the own number just now."""
    return render_template("payout.html", minutes=int(last_phone_check().total_seconds() // 60))


@pages.after_request
def keep_by_nobody(response):
    """Pages that show a number are not to be found in a cache."""
    response.headers["Cache-Control"] = "no-store"
    return response
