"""An SMSC for the tests of SMPP: smpp.twisted3, in a separate process with separate packages.

It accepts SYSTEM:PASSWORD and writes each message to standard output as JSON. The text of a message may
name what to do with it: `status NAME` refuses it, `silence` never responds.
"""

# mypy: ignore-errors
# ruff: noqa: N802, T201 - the names of Twisted, in a program for one test

import json
import sys

from smpp.pdu.pdu_types import CommandStatus
from smpp.twisted.config import SMPPServerConfig
from smpp.twisted.protocol import DataHandlerResponse
from smpp.twisted.server import SMPPServerFactory
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.internet import defer, reactor
from zope.interface import implementer


@implementer(IRealm)
class Realm:
    def requestAvatar(self, avatar, mind, *interfaces):
        return interfaces[0], avatar, lambda: None


class Database(InMemoryUsernamePasswordDatabaseDontUse):
    def requestAvatarId(self, credentials):
        credentials.username = as_bytes(credentials.username)
        credentials.password = as_bytes(credentials.password)
        return super().requestAvatarId(credentials).addCallback(lambda _: "SYSTEM")


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def plain(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def receive(system_id, smpp, pdu):
    print(json.dumps({name: plain(value) for name, value in pdu.params.items()}), flush=True)
    text = plain(pdu.params["short_message"])
    if "silence" in text:
        return defer.Deferred()
    if "status " in text:
        return DataHandlerResponse(status=getattr(CommandStatus, "ESME_" + text.partition("status ")[2]))
    return DataHandlerResponse(status=CommandStatus.ESME_ROK, message_id="m-1")


config = SMPPServerConfig(msgHandler=receive, systems={"SYSTEM": {"max_bindings": 50}})
portal = Portal(Realm(), [Database(SYSTEM=b"PASSWORD")])
listening = reactor.listenTCP(0, SMPPServerFactory(config, portal), interface="127.0.0.1")
print(listening.getHost().port, flush=True)
reactor.run(installSignalHandlers=not sys.flags.inspect)
