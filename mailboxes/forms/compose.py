"""Writing an email: addresses one by one, attachments within limits, and how an answer begins."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import EmailValidator
from django.template.defaultfilters import filesizeformat
from django.utils import timezone
from django.utils.datastructures import MultiValueDict
from django.utils.formats import date_format

from emailsync.mail.parsing import Address
from emailsync.web.forms import ConsoleForm
from mailboxes.choices import RecipientKind
from mailboxes.models import Message
from profiles.models import EmailSettings, file_ending

MOST_RECIPIENTS = 500
MOST_ATTACHMENTS = 50
LONGEST_SUBJECT = 255
LONGEST_TEXT = 1_000_000
LONGEST_QUOTE = 100_000
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")
#: A name, with or without quotes, and an address in angle brackets.
WRITTEN = re.compile(r'(?:"(?P<quoted>(?:\\.|[^"\\])*)"|(?P<name>[^<>"]*))\s*<\s*(?P<address>[^<>\s]+)\s*>')
_is_address = EmailValidator()


class AddressListField(forms.CharField):
    """Addresses with or without names, separated by commas, semicolons or lines; each bad one is named."""

    widget = forms.TextInput

    def __init__(self, **options: Any) -> None:
        """Let the browser help with addresses."""
        super().__init__(**options)
        self.widget.attrs.update({"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"})

    def clean(self, value: Any) -> tuple[Address, ...]:
        """Return the addresses, each once."""
        text: str = super().clean(value)
        found: dict[str, Address] = {}
        wrong: list[str] = []
        for piece in split_addresses(text):
            try:
                address = parse_address(piece)
            except ValueError as error:
                wrong.append(str(error))
            else:
                found.setdefault(address.address.casefold(), address)
        if wrong:
            raise ValidationError([ValidationError(sentence, code="address") for sentence in wrong])
        return tuple(found.values())


def split_addresses(text: str) -> list[str]:
    """Cut a list at commas, semicolons and line ends, but not inside quotes or angle brackets."""
    pieces = re.findall(r'(?:"(?:\\.|[^"\\])*"|<[^<>]*>|[^",;<\r\n]|["<])+', text)
    return [piece.strip() for piece in pieces if piece.strip()]


def parse_address(text: str) -> Address:
    """Return one address, its domain as the DNS writes it. Raises ValueError with a sentence naming it."""
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    if CONTROLS.search(text):
        raise ValueError(f"“{CONTROLS.sub('?', shown)}” holds a control character. Type the address anew.")
    found = WRITTEN.fullmatch(text)
    quoted, name, address = found.group("quoted", "name", "address") if found else ("", "", "")
    local, _, domain = (address or text).rpartition("@")
    if not local or not domain:
        raise ValueError(f"“{shown}” is not an email address. Write it as name@example.org.")
    if not local.isascii():
        raise ValueError(f"“{shown}” has letters before the @ that mail servers do not accept.")
    try:
        address = f"{local}@{domain.encode('idna').decode('ascii')}"
        _is_address(address)
    except (UnicodeError, ValidationError):
        raise ValueError(f"“{shown}” is not an email address. Check the part after the @.") from None
    name = re.sub(r"\\(.)", r"\1", quoted) if quoted else (name or "")
    return Address(name=name.strip(), address=address)


class FilesInput(forms.ClearableFileInput):
    """A control for several files. The script keeps what was chosen when the form comes back refused."""

    allow_multiple_selected = True
    template_name = "django/forms/widgets/file.html"

    def value_from_datadict(
        self, data: Any, files: "MultiValueDict[str, UploadedFile[Any]]", name: str
    ) -> Any:
        """Return every file."""
        return files.getlist(name)


class FilesField(forms.Field):
    """Attachments, checked one by one against the environment's email settings."""

    widget = FilesInput(attrs={"multiple": True, "hx-preserve": "true"})

    def __init__(self, **options: Any) -> None:
        """Begin with the product's own limits; the form sets those of the environment."""
        super().__init__(**options)
        self.limits = EmailSettings()

    def clean(self, value: "Sequence[UploadedFile[Any]]") -> "list[UploadedFile[Any]]":
        """Return the files. Each that may not be sent is named with its reason."""
        wrong = [sentence for file in value if (sentence := self._complaint(file))]
        if len(value) > MOST_ATTACHMENTS:
            wrong.append(f"{len(value)} files are chosen; an email holds up to {MOST_ATTACHMENTS}.")
        if wrong:
            raise ValidationError([ValidationError(sentence, code="attachment") for sentence in wrong])
        return list(value)

    def _complaint(self, file: "UploadedFile[Any]") -> str:
        name, size = file.name or "A file", file.size or 0
        limit = self.limits.maximum_attachment_bytes
        if self.limits.blocks_type(name):
            ending = file_ending(name)
            return f"{name}: files of type .{ending} may not be sent. Remove it, or pack it into an archive."
        if size > limit:
            return (
                f"{name} has {filesizeformat(size)}; the limit for attachments is {filesizeformat(limit)}. "
                "Remove it, or raise the limit in Email settings."
            )
        return ""


class ComposeForm(ConsoleForm, forms.Form):
    """An email to be sent from a mailbox."""

    to = AddressListField(required=False, label="To", max_length=50_000)
    cc = AddressListField(required=False, label="Cc", max_length=50_000)
    bcc = AddressListField(required=False, label="Bcc", max_length=50_000)
    subject = forms.CharField(required=False, max_length=LONGEST_SUBJECT)
    text = forms.CharField(
        required=False,
        label="Message",
        strip=False,
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": "14", "class": "letter"}),
    )
    attachments = FilesField(required=False)

    tips: ClassVar = {
        "to": "One or more addresses, separated by commas. A name may come first: Ana <a@example.org>.",
        "bcc": "These people get the email, and nobody sees their addresses.",
    }

    def __init__(self, *args: Any, limits: EmailSettings, **options: Any) -> None:
        """Say what the environment allows."""
        super().__init__(*args, **options)
        files = self.fields["attachments"]
        assert isinstance(files, FilesField)
        files.limits = limits
        files.help_text = f"Up to {filesizeformat(limits.maximum_attachment_bytes)} each."

    def clean_subject(self) -> str:
        """Refuse what would end the header early."""
        subject: str = self.cleaned_data["subject"]
        if CONTROLS.search(subject):
            raise ValidationError("The subject holds a line break or control character. Type it anew.")
        return subject

    def clean(self) -> dict[str, Any]:
        """Ask for somebody to send to."""
        cleaned = super().clean() or self.cleaned_data
        names = ("to", "cc", "bcc")
        if not any(name in self.errors for name in names):
            number = sum(len(cleaned[name]) for name in names)
            if number == 0:
                self.add_error("to", "Enter at least one address to send to.")
            elif number > MOST_RECIPIENTS:
                self.add_error(
                    "to", f"{number} addresses are too many for one email; the limit is {MOST_RECIPIENTS}."
                )
        return cleaned


def answer_to(message: Message, *, text: str) -> dict[str, str]:
    """Return what the form of an answer to `message` begins with; `text` is what it quotes."""
    return {
        "to": ", ".join(_reply_addresses(message)),
        "subject": answer_subject(message.subject),
        "text": _quote(message, text),
    }


def answer_subject(subject: str) -> str:
    """Return the subject of an answer: "Re: " once (RFC 5322, 3.6.5)."""
    bare = CONTROLS.sub(" ", " ".join(subject.split()))
    return (bare if bare[:3].casefold() == "re:" else f"Re: {bare}")[:LONGEST_SUBJECT]


def _reply_addresses(message: Message) -> list[str]:
    wanted = [
        _written(recipient.name, recipient.address)
        for recipient in message.recipients.filter(kind=RecipientKind.REPLY_TO).order_by("position")
        if recipient.address
    ]
    return wanted or ([_written(message.from_name, message.from_address)] if message.from_address else [])


def _written(name: str, address: str) -> str:
    """Write an address the way the form reads it."""
    plain = " ".join(CONTROLS.sub(" ", name).replace("\\", "").replace('"', "'").split())
    if not plain or plain == address:
        return address
    return f'"{plain}" <{address}>' if re.search(r"[,;:<>@()\[\].]", plain) else f"{plain} <{address}>"


def _quote(message: Message, text: str) -> str:
    moment = timezone.localtime(message.date or message.received_at)
    who = message.from_name or message.from_address or "somebody"
    lines = text[:LONGEST_QUOTE].rstrip().splitlines()
    quoted = "\n".join(f"> {line}".rstrip() for line in lines)
    return f"\n\nOn {date_format(moment, 'M j, Y')} at {date_format(moment, 'H:i')}, {who} wrote:\n{quoted}\n"
