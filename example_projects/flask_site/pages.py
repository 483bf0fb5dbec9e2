"""The site's pages: home, the profile, one for members, and one that requires a recent check."""

from datetime import timedelta

from flask import Blueprint, current_app, render_template

from phone_verify_flask import last_phone_check, phone_verified_required, recent_phone_check_required

pages = Blueprint("pages", __name__)


@pages.get("/")
def home():
    """Show the signed-in user."""
    return render_template("home.html")


@pages.get("/favicon.ico")
def icon():
    """Serve the icon to browsers that ask for the traditional name."""
    return current_app.send_static_file("icon.svg")


@pages.get("/profile")
@phone_verified_required
def profile():
    """Show the user's number and the link to change it."""
    return render_template("profile.html")


@pages.get("/members")
@phone_verified_required
def members():
    """A page for users who have a verified number."""
    return render_template("members.html")


@pages.get("/payout")
@recent_phone_check_required(timedelta(minutes=5))
def payout():
    """A page for users who verified their number recently."""
    return render_template("payout.html", minutes=int(last_phone_check().total_seconds() // 60))


@pages.after_request
def forbid_caching(response):
    """Keep pages that show a number out of caches."""
    response.headers["Cache-Control"] = "no-store"
    return response
