"""A real authorization server on loopback: oauthlib's, over HTTPS, with its memory in this process.

It knows one application. Whoever is sent to it agrees at once, as the person named in the login hint. Access
tokens are introspected by Dovecot (RFC 7662). Refresh tokens are rotated: the old one is worth nothing.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from oauthlib.oauth2 import OAuth2Error, RequestValidator, Server

from emailsync.management.selftest.certificates import ServerCertificate

CLIENT_ID = "the-application"
CLIENT_SECRET = "the-client-secret"
SCOPES = "mail offline"


@dataclass
class Memory:
    """What the server remembers of people and tokens."""

    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: By token: whose it is, and when it ends.
    access: dict[str, tuple[str, float]] = field(default_factory=dict)
    refresh: dict[str, str] = field(default_factory=dict)
    client_secret: str = CLIENT_SECRET
    life: int = 3600
    #: Whose mailbox the application's own tokens open.
    application_opens: str = ""


class _Validator(RequestValidator):
    """Answer what oauthlib asks about the one application and its people."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def validate_client_id(self, client_id: str, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client_id = client_id
        return client_id == CLIENT_ID

    def client_authentication_required(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        return True

    def authenticate_client(self, request: Any, *args: Any, **kwargs: Any) -> bool:
        request.client = type("Client", (), {"client_id": request.client_id})()
        return bool(request.client_id == CLIENT_ID and request.client_secret == self.memory.client_secret)

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, *args: Any, **kwargs: Any) -> bool:
        return redirect_uri.endswith("/oauth/callback/")

    def validate_scopes(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        return SCOPES.split()

    def validate_response_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def is_pkce_required(self, client_id: str, request: Any) -> bool:
        return True

    def save_authorization_code(self, client_id: str, code: Any, request: Any, *args: Any, **kw: Any) -> None:
        self.memory.codes[code["code"]] = {
            "user": request.login_hint,
            "redirect_uri": request.redirect_uri,
            "challenge": request.code_challenge,
            "method": request.code_challenge_method,
        }

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Any, *args: Any, **kw: Any
    ) -> bool:
        request.scopes = SCOPES.split()
        request.user = self.memory.codes.get(code, {}).get("user")
        return code in self.memory.codes

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, *args: Any, **kwargs: Any
    ) -> bool:
        return bool(self.memory.codes[code]["redirect_uri"] == redirect_uri)

    def get_code_challenge(self, code: str, request: Any) -> str:
        return str(self.memory.codes[code]["challenge"])

    def get_code_challenge_method(self, code: str, request: Any) -> str:
        return str(self.memory.codes[code]["method"])

    def invalidate_authorization_code(self, client_id: str, code: str, *args: Any, **kwargs: Any) -> None:
        del self.memory.codes[code]

    def validate_grant_type(self, *args: Any, **kwargs: Any) -> bool:
        return True

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Any, *args: Any, **kw: Any
    ) -> bool:
        request.user = self.memory.refresh.get(refresh_token)
        return refresh_token in self.memory.refresh

    def get_original_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        return SCOPES.split()

    def rotate_refresh_token(self, request: Any) -> bool:
        return True

    def save_bearer_token(self, token: Any, request: Any, *args: Any, **kwargs: Any) -> None:
        user = request.user or self.memory.application_opens
        self.memory.access[token["access_token"]] = (user, time.time() + self.memory.life)
        if request.grant_type == "refresh_token":
            del self.memory.refresh[request.refresh_token]
        if "refresh_token" in token:
            self.memory.refresh[token["refresh_token"]] = user


class AuthorizationServer:
    """A running authorization server; use it in a `with` statement."""

    def __init__(self, certificate: ServerCertificate) -> None:
        self.memory = Memory()
        #: The forms that the token endpoint was sent, by kind of grant.
        self.asked: list[str] = []
        #: What the token endpoint answers instead, if anything: a status and a body.
        self.instead: tuple[int, str] | None = None
        #: Called before a token is given, for races on purpose.
        self.before: Callable[[], None] = lambda: None
        self._server = Server(_Validator(self.memory), token_expires_in=lambda _: self.memory.life)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Return where it is."""
        return f"https://localhost:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def reset(self) -> None:
        """Forget everything that tests before did."""
        self.memory.__init__()  # type: ignore[misc]  # the server keeps this very object
        self.asked.clear()
        self.instead = None
        self.before = lambda: None

    def agree(self, url: str) -> dict[str, str]:
        """Agree as the person named in the login hint; return what they carry back to the callback."""
        _scopes, words = self._server.validate_authorization_request(url)
        hint = parse_qs(urlsplit(url).query)["login_hint"][0]
        headers, _body, status = self._server.create_authorization_response(
            url, scopes=SCOPES.split(), credentials={**words, "login_hint": hint}
        )
        assert status == 302
        found = parse_qs(urlsplit(headers["Location"]).query)
        return {name: values[0] for name, values in found.items()}

    def token(self, form: str) -> tuple[int, str]:
        """Answer the token endpoint."""
        self.asked.append(parse_qs(form).get("grant_type", [""])[0])
        self.before()
        if self.instead is not None:
            return self.instead
        _headers, body, status = self._server.create_token_response(f"{self.url}/token", "POST", form)
        return status, body

    def introspect(self, form: str) -> tuple[int, str]:
        """Tell whose mailbox a token opens (RFC 7662, section 2.2)."""
        user, ends = self.memory.access.get(parse_qs(form).get("token", [""])[0], ("", 0.0))
        if ends < time.time():
            return 200, json.dumps({"active": False})
        return 200, json.dumps({"active": True, "username": user, "scope": SCOPES})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                try:
                    answer = outer.introspect if self.path == "/introspect" else outer.token
                    status, body = answer(form)
                except OAuth2Error as error:
                    status, body = 400, error.json
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body.encode())))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        return Handler
