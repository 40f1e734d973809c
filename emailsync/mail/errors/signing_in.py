"""Failures of signing in, with a password or with an access token."""

from emailsync.mail.errors.base import MailError, Scope
from emailsync.mail.words import gettext_noop


class NotSignedIn(MailError):
    code = "not_signed_in"
    title = gettext_noop("Not signed in")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Check the user name and the password of the mailbox.")


class LoginRefused(NotSignedIn):
    code = "login_refused"
    title = gettext_noop("Wrong user name or password")
    remedy = gettext_noop(
        "Enter the user name and password again. Some providers want an app password, or IMAP and SMTP "
        "to be switched on for the account."
    )


class PasswordExpired(LoginRefused):
    code = "password_expired"
    title = gettext_noop("Password expired")
    remedy = gettext_noop("Set a new password at the mail provider and enter it here.")


class AuthorizationRefused(LoginRefused):
    code = "authorization_refused"
    title = gettext_noop("Not entitled to the mailbox")
    remedy = gettext_noop("Grant the signing-in account full access to this mailbox at the mail server.")


class AppPasswordNeeded(LoginRefused):
    code = "app_password_needed"
    title = gettext_noop("App password needed")
    remedy = gettext_noop(
        "Make an app password in the security settings of the account at the mail provider, and enter it "
        "instead of the usual password."
    )


class OAuthNeeded(LoginRefused):
    code = "oauth_needed"
    title = gettext_noop("Sign-in with OAuth needed")
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Choose OAuth as the authentication type in the server profile and connect the mailbox: the "
        "provider takes passwords no more."
    )


class WebLoginRequired(LoginRefused):
    code = "web_login_required"
    title = gettext_noop("Sign-in on the web required")
    remedy = gettext_noop(
        "Sign in to the account once in a web browser and confirm that it was you, then run Test & "
        "Enable again."
    )


class AccountLocked(LoginRefused):
    code = "account_locked"
    title = gettext_noop("Account locked")
    remedy = gettext_noop(
        "Have the account unlocked, or its license renewed, at the mail provider, then run Test & Enable "
        "again."
    )


class AccessDisabled(LoginRefused):
    code = "access_disabled"
    title = gettext_noop("IMAP, POP3 or SMTP is switched off for the account")
    remedy = gettext_noop(
        "Switch on IMAP, POP3 or SMTP access in the settings of the account at the mail provider."
    )


class TokenRefused(LoginRefused):
    code = "token_refused"
    title = gettext_noop("Access token refused")
    remedy = gettext_noop(
        "Connect the mailbox again with Reconnect on its page. If that does not help, see that the account "
        "has a mailbox, and that IMAP, POP and SMTP are switched on for it."
    )


class LoginRequired(NotSignedIn):
    code = "login_required"
    title = gettext_noop("Sign-in required")
    scope = Scope.PROFILE
    remedy = gettext_noop("Enter a user name and a password: the server accepts nothing from strangers.")


class LoginMechanismMissing(NotSignedIn):
    code = "login_mechanism_missing"
    title = gettext_noop("No common way to sign in")
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Have sign-in by password switched on at the mail server, or choose another way to sign in."
    )


class LoginDisabled(LoginMechanismMissing):
    code = "login_disabled"
    title = gettext_noop("Sign-in by password disabled")
    remedy = gettext_noop(
        "Have sign-in by password (for Exchange Online: Authenticated SMTP) switched on for the mailbox, "
        "or sign in with OAuth."
    )


class LoginThrottled(NotSignedIn):
    code = "login_throttled"
    title = gettext_noop("Sign-in not possible just now")
    permanent = False
    remedy = gettext_noop(
        "Nothing needs to be done at once: it is tried again later. If this repeats, allow fewer connections."
    )


class NotAuthorized(MailError):
    """OAuth 2.0 gave no access token to sign in with (RFC 6749, section 5.2)."""

    code = "not_authorized"
    title = gettext_noop("Not authorized")
    permanent = True
    scope = Scope.MAILBOX
    remedy = gettext_noop("Connect the mailbox with Connect on its page.")


class GrantMissing(NotAuthorized):
    code = "oauth_not_connected"
    title = gettext_noop("Not connected with OAuth")


class GrantExpired(NotAuthorized):
    code = "oauth_expired"
    title = gettext_noop("Permission ended (OAuth)")
    remedy = gettext_noop("Connect the mailbox again with Reconnect on its page.")


class ClientRefused(NotAuthorized):
    code = "oauth_client_refused"
    title = gettext_noop("Registered application refused (OAuth)")
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Check the client id, the client secret and the tenant id in the server profile. The secret may have "
        "expired: make a new one where the application is registered, and enter it."
    )


class AuthorizationBusy(NotAuthorized):
    code = "oauth_unavailable"
    title = gettext_noop("OAuth provider does not answer")
    permanent = False
    scope = Scope.PROFILE
    remedy = gettext_noop(
        "Nothing needs to be done: it is tried again. If it goes on, check the token endpoint in the server "
        "profile and the network between this installation and it."
    )
