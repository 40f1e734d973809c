"""What is known of large mail providers, by the domains of their addresses and by their mail exchangers."""

from dataclasses import dataclass

from emailsync.mail.endpoint import Endpoint, Protocol, Security
from emailsync.mail.words import gettext_noop

APP_PASSWORD = gettext_noop(
    "This provider takes no ordinary password here: make an app password in its account settings."
)
OAUTH = gettext_noop("This provider takes no passwords: choose OAuth as the authentication type.")
GOOGLE = gettext_noop("Google takes no ordinary password: choose OAuth, or make an app password.")


@dataclass(frozen=True)
class Preset:
    """One provider: where its servers are, and what to know about signing in."""

    name: str
    imap: str
    smtp: str
    domains: tuple[str, ...] = ()
    #: Endings of the names of its mail exchangers, for domains of its customers.
    exchangers: tuple[str, ...] = ()
    smtp_security: Security = Security.TLS
    note: str = ""

    @property
    def endpoints(self) -> tuple[Endpoint, Endpoint]:
        """Return where mail is read and where it is sent."""
        port = 465 if self.smtp_security is Security.TLS else 587
        return (
            Endpoint(Protocol.IMAP, self.imap, 993, Security.TLS),
            Endpoint(Protocol.SMTP, self.smtp, port, self.smtp_security),
        )


PRESETS = (
    Preset(
        "Gmail",
        "imap.gmail.com",
        "smtp.gmail.com",
        ("gmail.com", "googlemail.com"),
        ("google.com", "googlemail.com"),
        note=GOOGLE,
    ),
    Preset(
        "Microsoft 365",
        "outlook.office365.com",
        "smtp.office365.com",
        exchangers=("mail.protection.outlook.com", "mx.microsoft"),
        smtp_security=Security.STARTTLS,
        note=OAUTH,
    ),
    Preset(
        "Outlook.com",
        "outlook.office365.com",
        "smtp-mail.outlook.com",
        ("outlook.com", "hotmail.com", "live.com", "msn.com"),
        ("olc.protection.outlook.com",),
        smtp_security=Security.STARTTLS,
        note=OAUTH,
    ),
    Preset(
        "Yahoo",
        "imap.mail.yahoo.com",
        "smtp.mail.yahoo.com",
        ("yahoo.com", "yahoo.co.uk", "yahoo.de", "yahoo.fr", "ymail.com", "rocketmail.com"),
        ("yahoodns.net",),
        note=APP_PASSWORD,
    ),
    Preset("AOL", "imap.aol.com", "smtp.aol.com", ("aol.com", "aim.com"), note=APP_PASSWORD),
    Preset(
        "iCloud",
        "imap.mail.me.com",
        "smtp.mail.me.com",
        ("icloud.com", "me.com", "mac.com"),
        ("mail.icloud.com",),
        smtp_security=Security.STARTTLS,
        note=APP_PASSWORD,
    ),
    Preset(
        "Fastmail",
        "imap.fastmail.com",
        "smtp.fastmail.com",
        ("fastmail.com", "fastmail.fm"),
        ("messagingengine.com",),
        note=APP_PASSWORD,
    ),
    Preset("GMX", "imap.gmx.net", "mail.gmx.net", ("gmx.net", "gmx.de", "gmx.at", "gmx.ch"), ("gmx.net",)),
    Preset("GMX", "imap.gmx.com", "mail.gmx.com", ("gmx.com", "gmx.us", "gmx.co.uk")),
    Preset("WEB.DE", "imap.web.de", "smtp.web.de", ("web.de",), ("web.de",)),
    Preset("Zoho Mail", "imap.zoho.com", "smtp.zoho.com", ("zoho.com", "zohomail.com"), ("zoho.com",)),
    Preset("Zoho Mail", "imap.zoho.eu", "smtp.zoho.eu", ("zohomail.eu",), ("zoho.eu",)),
    Preset("IONOS", "imap.ionos.com", "smtp.ionos.com", exchangers=("ionos.com", "kundenserver.de")),
    Preset("T-Online", "secureimap.t-online.de", "securesmtp.t-online.de", ("t-online.de", "magenta.de")),
    Preset("mailbox.org", "imap.mailbox.org", "smtp.mailbox.org", ("mailbox.org",), ("mailbox.org",)),
    Preset("Posteo", "posteo.de", "posteo.de", ("posteo.de", "posteo.net"), ("posteo.de",)),
    Preset("Yandex", "imap.yandex.com", "smtp.yandex.com", ("yandex.com", "yandex.ru"), ("yandex.net",)),
)


def of_domain(domain: str) -> Preset | None:
    """Return the provider whose addresses end so."""
    return next((preset for preset in PRESETS if domain in preset.domains), None)


def of_exchanger(host: str) -> Preset | None:
    """Return the provider whose mail exchanger this is; of several, the one that is named most exactly."""
    found = [
        (len(ending), preset)
        for preset in PRESETS
        for ending in preset.exchangers
        if host == ending or host.endswith(f".{ending}")
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None
