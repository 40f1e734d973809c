"""How a client proves who it is: the credentials, and the SASL mechanisms that carry them.

A credential names the mechanisms that may carry it, the best first; `choose` takes the first of them that
the server offers. A mechanism is sans-IO: bytes to say first, and an answer to each challenge. The clients
of IMAP, POP3 and SMTP frame those bytes each in their own way.
"""

import base64
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from emailsync.mail.endpoint import check_plain
from emailsync.mail.errors import LoginMechanismMissing, ProtocolViolation

# Questions that a server may ask during one sign-in.
ROUNDS = 10


@dataclass(frozen=True)
class Password:
    """Sign in with a user name and a password, if asked for on behalf of another mailbox."""

    user_name: str
    password: str = field(repr=False)
    authorization_identity: str = ""
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")

    def __post_init__(self) -> None:
        check_plain(self.user_name, what="The user name")
        check_plain(self.password, what="The password")
        check_plain(self.authorization_identity, what="The mailbox to act for")

    def secrets(self) -> tuple[str, ...]:
        """List every form in which the password may travel, to be taken out of what is shown."""
        return _forms(self.password.encode(), Plain(self).first)


@dataclass(frozen=True)
class BearerToken:
    """Sign in to the mailbox of `user_name` with an access token of OAuth 2.0."""

    user_name: str
    token: str = field(repr=False)
    mechanisms: tuple[str, ...] = ("OAUTHBEARER", "XOAUTH2")
    #: The mailbox is that of the user name itself.
    authorization_identity: ClassVar[str] = ""

    def __post_init__(self) -> None:
        check_plain(self.user_name, what="The user name")
        check_plain(self.token, what="The access token")

    def secrets(self) -> tuple[str, ...]:
        """List every form in which the token may travel, to be taken out of what is shown."""
        return _forms(self.token.encode(), OAuthBearer(self).first, XOAuth2(self).first)


Credential = Password | BearerToken


def _forms(secret: bytes, *messages: bytes) -> tuple[str, ...]:
    encoded = [base64.b64encode(each).decode() for each in (*messages, secret)]
    return tuple(each for each in (*encoded, secret.decode()) if each)


class Mechanism(ABC):
    """One attempt to sign in."""

    name: ClassVar[str]
    #: Whether it can ask for somebody else's mailbox (RFC 4422, section 2).
    carries_identity: ClassVar[bool] = False
    #: What to say without being asked; None where the server speaks first.
    first: bytes | None = None

    @abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """Answer one challenge of the server."""

    @property
    def refusal(self) -> Mapping[str, str]:
        """Return what the server said beside its refusal, by name."""
        return {}


class Plain(Mechanism):
    """SASL PLAIN (RFC 4616)."""

    name = "PLAIN"
    carries_identity = True

    def __init__(self, credential: Password) -> None:
        parts = (credential.authorization_identity, credential.user_name, credential.password)
        self.first: bytes = "\0".join(parts).encode()

    def respond(self, challenge: bytes) -> bytes:
        """Say nothing more: a server that asks again has refused, and ends on an empty answer."""
        return b""


class Login(Mechanism):
    """The two questions of LOGIN, which was never standardised: first the name, then the password."""

    name = "LOGIN"

    def __init__(self, credential: Password) -> None:
        self._answers = [credential.user_name.encode(), credential.password.encode()]

    def respond(self, challenge: bytes) -> bytes:
        """Answer in this order whatever the question says; servers word it in many ways."""
        return self._answers.pop(0) if self._answers else b""


class Ntlm(Mechanism):
    """NTLM version 2 (MS-NLMP) as Exchange takes it over SMTP (MS-SMTPNTLM)."""

    name = "NTLM"

    def __init__(self, credential: Password) -> None:
        # Few mailboxes need it, and no other worker shall carry it about.
        import spnego

        options = spnego.NegotiateOptions.use_ntlm
        self._context = spnego.client(
            credential.user_name, credential.password, protocol="ntlm", options=options
        )
        self._is_begun = False

    def respond(self, challenge: bytes) -> bytes:
        """Begin, whatever the server says first, then answer its challenge."""
        from spnego.exceptions import SpnegoError

        try:
            token = self._context.step(challenge if self._is_begun else None)
        except SpnegoError as problem:
            raise ProtocolViolation("The server's part of NTLM cannot be understood.") from problem
        self._is_begun = True
        return token or b""


class _Bearer(Mechanism):
    """What both ways to carry an access token share: a refusal that comes as JSON in a challenge."""

    farewell: ClassVar[bytes]

    def __init__(self) -> None:
        self._refusal: dict[str, str] = {}

    def respond(self, challenge: bytes) -> bytes:
        """Take the reason of the refusal and let the server end the exchange (RFC 7628, section 3.2.3)."""
        try:
            told = json.loads(challenge)
        except ValueError:
            told = None
        if isinstance(told, dict):
            self._refusal = {str(name): str(value) for name, value in told.items()}
        return self.farewell

    @property
    def refusal(self) -> Mapping[str, str]:
        """Return the status, scope and schemes that the server named."""
        return self._refusal


class OAuthBearer(_Bearer):
    """OAUTHBEARER (RFC 7628)."""

    name = "OAUTHBEARER"
    farewell = b"\x01"

    def __init__(self, credential: BearerToken) -> None:
        super().__init__()
        # A comma or an equals sign in the name would end the header of GS2 (RFC 5801, section 4).
        user = credential.user_name.replace("=", "=3D").replace(",", "=2C")
        self.first: bytes = f"n,a={user},\x01auth=Bearer {credential.token}\x01\x01".encode()


class XOAuth2(_Bearer):
    """XOAUTH2, Google's forerunner of OAUTHBEARER; Microsoft offers no other."""

    name = "XOAUTH2"
    farewell = b""

    def __init__(self, credential: BearerToken) -> None:
        super().__init__()
        self.first: bytes = f"user={credential.user_name}\x01auth=Bearer {credential.token}\x01\x01".encode()


#: Which mechanism carries which credential.
MECHANISMS: dict[str, tuple[type[Credential], type[Mechanism]]] = {
    each.name: (kind, each)
    for kind, each in (
        (Password, Plain),
        (Password, Login),
        (Password, Ntlm),
        (BearerToken, OAuthBearer),
        (BearerToken, XOAuth2),
    )
}


def find(credential: Credential, offered: Collection[str]) -> Mechanism | None:
    """Return the best mechanism for `credential` among those a server offers, in capitals, if any."""
    for name in credential.mechanisms:
        kind, mechanism = MECHANISMS[name]
        able = mechanism.carries_identity or not credential.authorization_identity
        if name in offered and able and isinstance(credential, kind):
            return mechanism(credential)  # type: ignore[call-arg]  # each takes its own kind of credential
    return None


def choose(credential: Credential, offered: Collection[str]) -> Mechanism:
    """Return the best mechanism like `find`. Raises LoginMechanismMissing when nothing fits."""
    mechanism = find(credential, offered)
    if mechanism is None:
        raise missing(credential, offered)
    return mechanism


def missing(credential: Credential, offered: Collection[str]) -> LoginMechanismMissing:
    """Return the complaint that a server offers nothing that carries `credential`."""
    reply = f"AUTH {' '.join(sorted(offered))}" if offered else ""
    if credential.authorization_identity:
        sentence = "The server does not offer to sign in for another mailbox (AUTH=PLAIN)."
    elif isinstance(credential, BearerToken):
        sentence = "The server does not offer to sign in with OAuth (XOAUTH2 or OAUTHBEARER)."
    else:
        sentence = "The server does not offer to sign in with a password."
    return LoginMechanismMissing(sentence, server_reply=reply)


def decoded(challenge: bytes) -> bytes:
    """Return what a server asks during a sign-in; nothing where it is not base64."""
    try:
        return base64.b64decode(challenge, validate=True)
    except ValueError:
        return b""
