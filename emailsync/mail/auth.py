"""How a client proves who it is."""

import base64
from dataclasses import dataclass, field

from emailsync.mail.endpoint import check_plain


@dataclass(frozen=True)
class Password:
    """Sign in with a user name and a password, if asked for on behalf of another mailbox."""

    user_name: str
    password: str = field(repr=False)
    authorization_identity: str = ""

    def __post_init__(self) -> None:
        check_plain(self.user_name, what="The user name")
        check_plain(self.password, what="The password")
        check_plain(self.authorization_identity, what="The mailbox to act for")

    def plain_response(self) -> bytes:
        """Build the message of SASL PLAIN (RFC 4616, section 2)."""
        parts = (self.authorization_identity, self.user_name, self.password)
        return "\0".join(parts).encode()

    def secrets(self) -> tuple[str, ...]:
        """List every form in which the password may travel, to be taken out of what is shown."""
        plain = base64.b64encode(self.plain_response()).decode()
        alone = base64.b64encode(self.password.encode()).decode()
        return tuple(secret for secret in (plain, alone, self.password) if secret)
