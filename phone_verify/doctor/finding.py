"""The findings of the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Level(StrEnum):
    """The severity of a finding, the most severe first."""

    ERROR = "error"  #: it cannot work, or is not safe
    WARNING = "warning"  #: it works, but is unsuitable for production
    NOTE = "note"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the setting concerned (if any), the problem, and the fix."""

    level: Level
    setting: str
    says: str
    advice: str = ""
    #: One of `CATALOGUE`, or the id of a Django system check. Ids are stable: sites ignore them by
    #: name.
    id: str = field(kw_only=True)
    #: The rule that produced it, by which Django's system checks are numbered.
    rule: str = ""
    #: The setting as the site's owner writes it; empty if it is written like `setting`.
    title: str = ""

    def document(self) -> Mapping[str, str | None]:
        """Return the finding for JSON."""
        return {
            "id": self.id,
            "level": self.level.value,
            "setting": self.setting or None,
            "message": self.says,
            "advice": self.advice or None,
        }


#: The meaning of every id. An id that is no longer used is not used again.
CATALOGUE: Mapping[str, str] = {
    "PV101": "a setting or variable is unknown",
    "PV102": "a setting has an invalid value",
    "PV103": "a DSN is invalid",
    "PV104": "the site refuses its configuration when it starts",
    "PV105": "the framework's own settings cannot be read",
    "PV106": "settings are written where the framework does not read them",
    "PV107": "the framework's users cannot be signed in yet",
    "PV201": "no channel is configured",
    "PV202": "`CHANNELS` names a channel without a driver",
    "PV203": "the channels offered, in order",
    "PV204": "`CHANNELS` omits a configured channel",
    "PV205": "a driver is for development only",
    "PV206": "every channel uses short codes",
    "PV207": "a channel uses short codes",
    "PV208": "`NOTIFY_OLD_NUMBER` needs a driver that can send free text",
    "PV209": "the number of SMS segments per message",
    "PV210": "a purpose uses short codes",
    "PV211": "a purpose requires a channel without a driver",
    "PV212": "no driver sends the texts of the site",
    "PV213": "the number of SMS segments of the site's own texts",
    "PV214": "a text of the site takes several SMS",
    "PV215": "a message is too long for Android's SMS Retriever",
    "PV216": "messages for signing in end in the hash of an app, not in `@host #code`",
    "PV217": "a service has a mistake in a field",
    "PV218": "`SERVICE` names a service that does not exist",
    "PV301": "no key to sign with is set",
    "PV302": "a key is weak",
    "PV303": "`SECRET_KEYS` is not set, outside a framework",
    "PV304": "the key that signs",
    "PV305": "the framework's own key is weak",
    "PV306": "`TAG_KEY` is not set, with several secret keys",
    "PV401": "`PUBLIC_URL` is not set",
    "PV402": "`PUBLIC_URL` is this machine",
    "PV403": "`PUBLIC_URL` is plain HTTP",
    "PV404": "the framework must detect https behind a proxy",
    "PV405": "`WEBHOOK_SECRET` is not set",
    "PV406": "the webhook URL is unknown without `PUBLIC_URL`",
    "PV407": "the webhook URL to set at the provider",
    "PV408": "the site has no path for webhooks",
    "PV409": "`TRUSTED_PROXIES` is 0",
    "PV410": "how the client address is found behind proxies",
    "PV411": "two drivers of one account, so that webhooks reach only one of them",
    "PV412": "an entry of Django's `CSRF_TRUSTED_ORIGINS` is not trusted by the API",
    "PV413": "a trusted origin is plain HTTP",
    "PV414": "the origins that may call the API",
    "PV501": "`REGION` is not set",
    "PV502": "`ALLOWED_REGIONS` is not set",
    "PV503": "`ALLOWED_REGIONS` names a region that no driver reaches",
    "PV504": "`ALLOWED_REGIONS` does not contain `REGION`",
    "PV505": "a send limit is off",
    "PV506": "`ALLOWED_REGIONS` contains some regions of a shared numbering plan only",
    "PV507": "a provider delivers nothing to one of the site's regions",
    "PV508": "no driver reaches the numbers of `REGION`",
    "PV601": "`STORE` is not set",
    "PV602": "`STORE` is invalid",
    "PV603": "the store is the memory of one process",
    "PV604": "the folder of the store's file does not exist",
    "PV605": "the folder of the store's file is not writable",
    "PV606": "the store's file does not exist yet",
    "PV607": "other users of the machine can read the store's file",
    "PV608": "the store does not answer",
    "PV609": "the store answers",
    "PV610": "the store's server is configured unsuitably",
    "PV611": "`LEDGER` is invalid",
    "PV612": "the ledger does not answer",
    "PV613": "the ledger answers",
    "PV614": "orders in the ledger stay open",
    "PV615": "the database of the services does not answer",
    "PV701": "a provider cannot be checked without sending",
    "PV702": "a provider's response was unclear",
    "PV703": "a provider refused the credential",
    "PV704": "a provider's balance is used up",
    "PV705": "a provider accepts the credential",
    "PV706": "a provider could not be reached",
    "PV707": "a provider reports too many requests",
    "PV708": "a provider gave an undocumented response",
    "PV709": "an account lacks something for sending, like a template",
    "PV710": "what an account lacks for sending could not be checked",
    "PV801": "an entry of `TEST_PASSCODES` is invalid",
    "PV802": "a test number has a fixed code",
    "PV803": "a test number has expired",
    "PV804": "no channel accepts a test number's code",
    "PV805": "staff can sign in by phone alone",
    "PV811": "users have numbers that are not stored in E.164",
    "PV901": "two installed packages contain the same files",
}
