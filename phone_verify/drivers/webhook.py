"""Any provider that takes an order by one HTTP request, which a file describes.

Write `webhook+https://` (or `webhook+http://` for a gateway on this machine) with the provider's host
and path, and the path of the file: `docs/any_provider.md` has the format and examples. The code is ours.
A response that is neither the success nor an error of the file is unclear, so that nothing is sent twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import ClassVar

from ..errors import ConfigurationError, FailureKind, ProviderError, UnclearError
from ..exchange import Exchange, HttpRequest
from ..model import Channel, CodeSource, Order, Receipt
from .base import ANSWER_TIMEOUT, Ability, Driver
from .kinds.request_file import PLACEHOLDERS, RequestFile, read_request_file, values_of
from .options import Dsn, Option, flag, is_loopback, is_private
from .reading import trouble_of_status

_CREDENTIALS = ("credential", "second_credential")
_ABILITY = Ability(CodeSource.LOCAL, shortest=4, longest=8, webhook_url=True)
_FLASH_CALL = Ability(CodeSource.LOCAL, shortest=4, longest=4, webhook_url=True)


def _file(path: str) -> RequestFile:
    if find_spec("jsonschema") is None:
        raise ValueError("install the package that checks the file: pip install 'phone-verify[gateways]'")
    request = read_request_file(path)
    for needed in (("phone", "digits", "national"), ("text", "code")):
        if request.placeholders.isdisjoint(needed):
            raise ValueError(f"the request has no {' or '.join(f'{{{name}}}' for name in needed)}: write one of them")
    return request


@dataclass(frozen=True)
class Webhook(Driver):
    """Sends the request of a file."""

    scheme: ClassVar[str] = "webhook"
    provider: ClassVar[str] = "any provider, by a request file"
    credential_forms: ClassVar[Sequence[Sequence[str]]] = (_CREDENTIALS[:1], _CREDENTIALS, ())
    options: ClassVar[Mapping[str, Option]] = {
        "file": Option(None, _file, "/etc/mysite/gateway.yaml", "the path of the request file", required=True),
        "unencrypted_on_a_private_network": Option(
            False, flag, meaning="allow `webhook+http` to another machine: whoever sees the traffic sees codes and keys"
        ),
    }
    names_site: ClassVar[bool] = True

    file: RequestFile = field(repr=False)
    unencrypted_on_a_private_network: bool
    credential: str = field(default="", repr=False)
    second_credential: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for n, name in enumerate(_CREDENTIALS, 1):
            if name in self.file.placeholders and not getattr(self, name):
                place = ":".join(_CREDENTIALS[:n]).upper()
                raise ValueError(f"the file uses {{{name}}}, which the DSN lacks: write {place}@ before the host")
        # A credential that does not fit into a header is reported here, not by the first order.
        self.file.headers(dict.fromkeys(PLACEHOLDERS, "") | dict(self.credentials))

    @property
    def abilities(self) -> Mapping[Channel, Ability]:
        """The channels of the file, with our code."""
        return {channel: _FLASH_CALL if channel is Channel.FLASH_CALL else _ABILITY for channel in self.file.channels}

    def start(self, order: Order) -> Exchange[Receipt]:
        """Send the request, and read the response as the file says."""
        values = values_of(order, (self.credential, self.second_credential))
        try:
            headers = self.file.headers(values)
        except ValueError as error:
            raise ProviderError(FailureKind.CONFIGURATION, str(error)) from None
        url = self.file.url(self.base_url, values)
        response = yield HttpRequest(self.file.method, url, headers, self.file.body(values))
        failure = self.file.failure(response)
        if failure is not None or not response.ok:
            by_status = trouble_of_status(response)
            raise by_status if failure is None else ProviderError(failure, by_status.detail)
        if not self.file.is_success(response):
            raise UnclearError("webhook: the response is neither the success nor an error of the request file")
        return Receipt(self.file.reference(response))

    @classmethod
    def example(cls, dsn: Dsn) -> Driver:
        """Return a driver with an empty file."""
        given = dict(zip(_CREDENTIALS, dsn.credentials, strict=False))
        return cls(cls.scheme, "https://gateway.example", ANSWER_TIMEOUT, RequestFile({}), False, **given)

    @classmethod
    def example_dsns(cls, channel: Channel = Channel.SMS) -> Sequence[str]:
        """Return the forms of its DSN."""
        place, query = "gateway.example/send", f"?file={cls.options['file'].example}"
        return tuple(
            f"webhook+https://{who}{place}{query}" for who in ("CREDENTIAL@", "CREDENTIAL:SECOND_CREDENTIAL@", "")
        )

    @classmethod
    def _base_url(cls, dsn: Dsn, setting: str) -> str:
        host = dsn.host or ""
        if dsn.options.get("unencrypted_on_a_private_network", "off") not in ("on", "true"):
            if dsn.options.get("tls") == "off" and not is_loopback(host):
                raise ConfigurationError(
                    f"{setting}: webhook+http:// is for loopback hosts (127.0.0.1, localhost, ::1): write "
                    "webhook+https://, or the private address of the gateway and unencrypted_on_a_private_network=on"
                )
            return super()._base_url(dsn, setting)
        if not is_private(host):
            raise ConfigurationError(
                f"{setting}: option 'unencrypted_on_a_private_network': write the private address of the gateway, "
                "like 10.0.0.5; a name may lead anywhere"
            )
        place = f"[{host}]" if ":" in host else host
        return f"http://{place}{f':{dsn.port}' if dsn.port else ''}{dsn.base_path.rstrip('/')}"


DRIVER = Webhook
