# ruff: noqa: RUF001  (the letters are written in their own scripts)
"""Who lives in the demo and what is written to them: plain, HTML, attachments, other scripts, old encodings.

All names are invented and all domains are reserved for examples (RFC 2606).
"""

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, formataddr

DOMAIN = "contoso.example"


@dataclass(frozen=True)
class Account:
    """One mailbox of the demo, on the server and in the environment."""

    name: str
    user_name: str
    kind: str = "user"
    #: Approved from the start.
    is_approved: bool = True
    #: Tested when the demo is made, so that there is something to see at once.
    is_tested: bool = False
    #: The environment holds another password than the server.
    has_wrong_password: bool = False

    @property
    def address(self) -> str:
        """Return the email address."""
        return f"{self.user_name}@{DOMAIN}"


ACCOUNTS = (
    Account("Ana Bowman", "ana.bowman", is_tested=True),
    Account("Malik Barden", "malik.barden", is_tested=True),
    Account("Support", "support", kind="queue", is_tested=True),
    Account("Elke Sørensen", "elke.soerensen"),
    Account("Nadia Haddad", "nadia.haddad"),
    Account("Orders", "orders", kind="queue"),
    Account("Yusuf Demir", "yusuf.demir", is_tested=True, has_wrong_password=True),
    Account("Invoices", "invoices", kind="queue", is_approved=False),
)


@dataclass(frozen=True)
class Letter:
    """One letter; `html` and `attachment` when there is more than text."""

    #: Nobody means a colleague: an answer then arrives in another mailbox of the demo.
    sender: tuple[str, str] | None
    subject: str
    text: str
    html: str = ""
    attachment: tuple[str, str, bytes] | None = None
    charset: str = "utf-8"


PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 120]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 48>>stream
BT /F 18 Tf 30 60 Td (Offer 2231: 40 desks) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
"""
CSV = b"item;quantity;price\r\nDesk, oak;40;219,00\r\nChair, grey;80;94,50\r\nLamp;40;31,20\r\n"
CALENDAR = (
    b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Fabrikam//Plan//EN\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
    b"UID:plan-118@fabrikam.example\r\nDTSTAMP:20260105T080000Z\r\nDTSTART:20260112T090000Z\r\n"
    b"DTEND:20260112T093000Z\r\nSUMMARY:Delivery plan\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)

LETTERS = (
    Letter(
        None,
        "Can we move Thursday to 14:00?",
        "Hello,\n\nthe supplier arrives later than planned. Would 14:00 on Thursday suit you?\n",
    ),
    Letter(
        ("Fabrikam News", "news@fabrikam.example"),
        "This month: quieter hinges, longer warranty",
        "Quieter hinges and a longer warranty: read on at https://www.fabrikam.example/news\n",
        html=(
            "<html><body><h1>Quieter hinges, longer warranty</h1>"
            "<p>From this month every <b>cabinet</b> has hinges that close <i>without a sound</i>.</p>"
            "<table border='1'><tr><th>Model</th><th>Warranty</th></tr>"
            "<tr><td>Alder</td><td>7 years</td></tr><tr><td>Birch</td><td>10 years</td></tr></table>"
            "<p><a href='https://www.fabrikam.example/news'>Read on</a></p></body></html>"
        ),
    ),
    Letter(
        ("Tomás Álvarez", "tomas.alvarez@northwind.example"),
        "Offer 2231 for forty desks",
        "Good morning,\n\nattached is our offer for forty desks, valid for four weeks.\n\nTomás Álvarez\n",
        attachment=("Offer 2231.pdf", "application/pdf", PDF),
    ),
    Letter(
        None,
        "Who answers the question about the desks?",
        "Hello,\n\nNorthwind asks again about the forty desks. Will you answer, or shall I?\n",
    ),
    Letter(
        ("Søren Kjær", "soeren.kjaer@northwind.example"),
        "Følgeseddel mangler på ordre 5518",
        "Hej,\n\nvi har modtaget varerne, men følgesedlen mangler. Kan I sende den?\n\nSøren Kjær\n",
        charset="iso-8859-1",
    ),
    Letter(
        ("森 結衣", "yui.mori@adatum.example"),
        "納期のご確認のお願い",
        "お世話になっております。\n\n注文番号 5520 の納期をご確認いただけますでしょうか。\n\n森 結衣\n",
    ),
    Letter(
        ("Fabrikam Planning", "planning@fabrikam.example"),
        "Invitation: Delivery plan, Monday 09:00",
        "You are invited to talk about the delivery plan on Monday at 09:00.\n",
        attachment=("invite.ics", "text/calendar", CALENDAR),
    ),
    Letter(
        None,
        "Lunch on Friday?",
        "Hello,\n\nthe new place at the harbour has opened. Are you coming along on Friday?\n",
        html="<p>Hello,</p><p>the new place at the <i>harbour</i> has opened. Coming along on Friday?</p>",
    ),
    Letter(
        ("Leyla Öztürk", "leyla.ozturk@adatum.example"),
        "Fatura ve ödeme günü hakkında",
        "Merhaba,\n\ngeçen ayki faturanın ödeme günü değişti mi? Şimdiden teşekkürler.\n\nLeyla Öztürk\n",
        html="<p>Merhaba,</p><p>geçen ayki <b>faturanın</b> ödeme günü değişti mi?</p><p>Leyla Öztürk</p>",
    ),
    Letter(
        ("Adatum Shop", "no-reply@adatum.example"),
        "Stock list of this week",
        "The stock list of this week is attached.\n",
        attachment=("stock.csv", "text/csv", CSV),
    ),
    Letter(
        ("رانيا خليل", "rania.khalil@northwind.example"),
        "استفسار عن موعد التسليم",
        "مرحبا،\n\nمتى يصل الطلب رقم 5523؟ نحتاجه قبل نهاية الأسبوع.\n\nرانيا خليل\n",
    ),
    Letter(
        ("Grace Okafor", "grace.okafor@fabrikam.example"),
        "Re: A key does not turn",
        "Thank you, the new key works.\n\n> Please try the second key on the ring.\n> It fits.\n\nGrace\n",
    ),
)


def compose(number: int, account: Account, *, when: datetime) -> bytes:
    """Return the letter with this number, written to `account`; numbers beyond the last begin again."""
    letter = LETTERS[number % len(LETTERS)]
    colleague = ACCOUNTS[1] if account == ACCOUNTS[0] else ACCOUNTS[0]
    sender = letter.sender or (colleague.name, colleague.address)
    message = EmailMessage()
    message["From"] = formataddr(sender)
    message["To"] = formataddr((account.name, account.address))
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(when)
    domain = sender[1].rpartition("@")[2]
    message["Message-ID"] = f"<{number}.{account.user_name}.{int(when.timestamp())}@{domain}>"
    message.set_content(letter.text, charset=letter.charset)
    if letter.html:
        message.add_alternative(letter.html, subtype="html")
    if letter.attachment:
        filename, content_type, content = letter.attachment
        maintype, _, subtype = content_type.partition("/")
        message.add_attachment(content, maintype=maintype, subtype=subtype, filename=filename)
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
