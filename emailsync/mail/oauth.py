"""OAuth 2.0 as its client: where people give their permission, and how it becomes an access token.

Two ways lead to a token. A person is sent to the provider and comes back with a code, which is exchanged
together with the proof that it was asked for by us (RFC 6749, section 4.1, with PKCE, RFC 7636). Or the
application has a permission of its own and asks for itself (RFC 6749, section 4.4). oauthlib words the
requests and reads the answers; nothing here keeps anything.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from emailsync.mail.errors import (
    AuthorizationBusy,
    ClientRefused,
    GrantExpired,
    MailError,
    NotConnected,
    NotSecured,
    ProtocolViolation,
)
from emailsync.mail.https import Answer, post_form
from emailsync.mail.wire import Wire, redact

if TYPE_CHECKING:
    # Loaded when a permission is asked for: who only syncs shall not need its memory.
    from oauthlib.oauth2 import OAuth2Error, WebApplicationClient

#: How long a code verifier is; RFC 7636, section 4.1, allows 43 to 128.
VERIFIER_LENGTH = 64
#: A token whose life is not told is taken to live this long.
USUAL_LIFE = timedelta(hours=1)


@dataclass(frozen=True)
class Provider:
    """What is known of one provider. Addresses may hold {tenant}."""

    authorization_url: str
    token_url: str
    #: What is asked of a person, and what an application asks for itself; separated by spaces.
    scopes: str
    application_scopes: str = ""
    #: What the authorization request says beside the standard's words.
    parameters: Mapping[str, str] = field(default_factory=dict)
    #: How long a permission lives that is never used; None when that is not known.
    inactivity: timedelta | None = None


GOOGLE = Provider(
    authorization_url="https://accounts.google.com/o/oauth2/v2/auth",
    token_url="https://oauth2.googleapis.com/token",  # noqa: S106  (an address)
    scopes="https://mail.google.com/ openid email",
    # Google gives a refresh token only for offline access, and again only with consent.
    parameters={"access_type": "offline", "prompt": "consent"},
    inactivity=timedelta(days=180),
)
MICROSOFT = Provider(
    authorization_url="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
    token_url="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",  # noqa: S106  (an address)
    scopes=(
        "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/POP.AccessAsUser.All "
        "https://outlook.office.com/SMTP.Send offline_access openid email"
    ),
    application_scopes="https://outlook.office365.com/.default",
    parameters={"prompt": "select_account"},
    inactivity=timedelta(days=90),
)


@dataclass(frozen=True)
class Client:
    """An application as it is registered at a provider, and what it asks for."""

    authorization_url: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tokens:
    """What a provider gave: the access token, and what renews it. Empty strings stand for nothing."""

    access_token: str = field(repr=False)
    life: timedelta
    refresh_token: str = field(default="", repr=False)
    #: How long the refresh token lives, if the provider says so.
    refresh_life: timedelta | None = None
    #: Whose mailbox it opens, as the provider calls that person.
    subject: str = ""


def new_verifier() -> str:
    """Return a fresh secret that proves, at the exchange, who had asked for the code."""
    return _web("").create_code_verifier(VERIFIER_LENGTH)


def authorization_url(
    client: Client, *, redirect_uri: str, state: str, verifier: str, login_hint: str
) -> str:
    """Return where a person gives the permission (RFC 6749, section 4.1.1)."""
    web = _web(client.client_id)
    challenge = web.create_code_challenge(verifier, "S256")
    return str(
        web.prepare_request_uri(
            client.authorization_url,
            redirect_uri=redirect_uri,
            scope=list(client.scopes),
            state=state,
            code_challenge=challenge,
            code_challenge_method="S256",
            login_hint=login_hint,
            **client.parameters,
        )
    )


def exchange_code(client: Client, wire: Wire, *, code: str, verifier: str, redirect_uri: str) -> Tokens:
    """Exchange the code that a person came back with (RFC 6749, section 4.1.3). Raises MailError."""
    form = _web(client.client_id).prepare_request_body(
        code=code, redirect_uri=redirect_uri, code_verifier=verifier, **_secret(client)
    )
    return _ask(client, wire, form, secrets=(code, verifier))


def refresh(client: Client, wire: Wire, *, refresh_token: str) -> Tokens:
    """Renew an access token (RFC 6749, section 6); the refresh token may be another one afterwards.

    Raises GrantExpired when the permission was withdrawn or has lapsed, and AuthorizationBusy when nobody
    can tell because the provider does not answer.
    """
    if not refresh_token:
        raise GrantExpired("The permission has ended: the provider gave nothing to renew it with.")
    form = _web(client.client_id).prepare_refresh_body(
        refresh_token=refresh_token, client_id=client.client_id, **_secret(client)
    )
    return _ask(client, wire, form, secrets=(refresh_token,))


def ask_for_itself(client: Client, wire: Wire) -> Tokens:
    """Ask for a token with the application's own permission (RFC 6749, section 4.4). Raises MailError."""
    from oauthlib.oauth2 import BackendApplicationClient

    form = BackendApplicationClient(client.client_id).prepare_request_body(
        scope=list(client.scopes), include_client_id=True, **_secret(client)
    )
    return _ask(client, wire, form, secrets=())


def _web(client_id: str) -> "WebApplicationClient":
    from oauthlib.oauth2 import WebApplicationClient

    return WebApplicationClient(client_id)


def _secret(client: Client) -> dict[str, Any]:
    """Return the secret as a word of the form: public clients have none (RFC 6749, section 2.3.1)."""
    return {"client_secret": client.client_secret} if client.client_secret else {}


def _ask(client: Client, wire: Wire, form: str, *, secrets: tuple[str, ...]) -> Tokens:
    from oauthlib.oauth2 import OAuth2Error

    hidden = tuple(each for each in (*secrets, client.client_secret) if each)
    try:
        answer = post_form(client.token_url, form, wire)
    except (NotConnected, NotSecured, ProtocolViolation) as problem:
        raise AuthorizationBusy(f"The provider's token endpoint cannot be asked. {problem}") from problem
    if answer.status == 429 or answer.status >= 500:
        raise AuthorizationBusy(
            "The provider's token endpoint is out of order.", server_reply=f"HTTP status {answer.status}"
        )
    if not answer.body.lstrip().startswith("{"):
        raise _nonsense(answer)
    try:
        told = _web(client.client_id).parse_request_body_response(answer.body)
    except OAuth2Error as problem:
        raise _refusal(problem, answer, hidden) from problem
    except (ValueError, RecursionError) as problem:
        raise _nonsense(answer) from problem
    return _tokens(told, answer)


def _tokens(told: Mapping[str, Any], answer: Answer) -> Tokens:
    access_token, refresh_token = told.get("access_token"), told.get("refresh_token", "")
    if not isinstance(access_token, str) or not isinstance(refresh_token, str):
        raise _nonsense(answer)
    # Keycloak names the life of the refresh token otherwise than Google does.
    refresh_life = told.get("refresh_token_expires_in") or told.get("refresh_expires_in")
    return Tokens(
        access_token=access_token,
        life=_seconds(told.get("expires_in")) or USUAL_LIFE,
        refresh_token=refresh_token,
        refresh_life=_seconds(refresh_life),
        subject=_subject(told.get("id_token")),
    )


def _nonsense(answer: Answer) -> MailError:
    return AuthorizationBusy(
        "The provider's token endpoint did not answer as OAuth 2.0 says.",
        server_reply=f"HTTP status {answer.status}",
    )


#: RFC 6749, section 5.2, and what OpenID Connect providers say when a person has to come again.
COME_AGAIN = {"invalid_grant", "interaction_required", "consent_required", "login_required"}
LATER = {"temporarily_unavailable", "server_error", "slow_down"}


def _refusal(problem: "OAuth2Error", answer: Answer, hidden: tuple[str, ...]) -> MailError:
    error = str(problem.error or "")
    reply = redact(f"{error}: {problem.description}" if problem.description else error, hidden)
    if error == "missing_token":
        return _nonsense(answer)
    if error in COME_AGAIN:
        return GrantExpired("The provider no longer accepts the permission.", server_reply=reply)
    if error in LATER:
        return AuthorizationBusy("The provider's token endpoint is out of order.", server_reply=reply)
    return ClientRefused("The provider refused the registered application.", server_reply=reply)


def _seconds(told: object) -> timedelta | None:
    try:
        seconds = float(str(told))
    except ValueError:
        return None
    return timedelta(seconds=min(seconds, 10 * 365 * 86_400)) if seconds > 0 else None


def _subject(id_token: object) -> str:
    """Return who gave the permission, for people to read.

    The token came from the provider itself over TLS, so its signature need not be checked (OpenID Connect
    Core 1.0, section 3.1.3.7), and nothing is decided by it.
    """
    if not isinstance(id_token, str):
        return ""
    try:
        payload = id_token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, RecursionError):
        return ""
    if not isinstance(claims, dict):
        return ""
    return str(claims.get("email") or claims.get("preferred_username") or claims.get("upn") or "")
