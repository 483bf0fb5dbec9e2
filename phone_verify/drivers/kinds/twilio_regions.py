"""Where Twilio delivers nothing, which its drivers share."""

#: Error 60238 and Twilio's list of countries (vendor docs). It changes with sanctions.
TWILIO_UNSERVED = frozenset({"CU", "IR", "SY"})
