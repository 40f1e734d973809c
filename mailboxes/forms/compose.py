"""Writing an email: addresses one by one, attachments within limits."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import EmailValidator
from django.template.defaultfilters import filesizeformat
from django.utils.datastructures import MultiValueDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.mail.parsing import Address
from emailsync.web.forms import ConsoleForm
from profiles.models import EmailSettings, file_ending

MOST_RECIPIENTS = 500
MOST_ATTACHMENTS = 50
LONGEST_SUBJECT = 255
LONGEST_TEXT = 1_000_000
LONGEST_LIST = 50_000
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
        sentence = _("“%(address)s” holds a control character. Type the address anew.")
        raise ValueError(sentence % {"address": CONTROLS.sub("?", shown)})
    found = WRITTEN.fullmatch(text)
    quoted, name, address = found.group("quoted", "name", "address") if found else ("", "", "")
    local, _at, domain = (address or text).rpartition("@")
    if not local or not domain:
        sentence = _("“%(address)s” is not an email address. Write it as name@example.org.")
        raise ValueError(sentence % {"address": shown})
    if not local.isascii():
        sentence = _("“%(address)s” has letters before the @ that mail servers do not accept.")
        raise ValueError(sentence % {"address": shown})
    try:
        address = f"{local}@{domain.encode('idna').decode('ascii')}"
        _is_address(address)
    except (UnicodeError, ValidationError):
        sentence = _("“%(address)s” is not an email address. Check the part after the @.")
        raise ValueError(sentence % {"address": shown}) from None
    name = re.sub(r"\\(.)", r"\1", quoted) if quoted else (name or "")
    return Address(name=name.strip(), address=address)


class FilesInput(forms.ClearableFileInput):
    """A control for several files."""

    allow_multiple_selected = True
    template_name = "django/forms/widgets/file.html"

    def value_from_datadict(
        self, data: Any, files: "MultiValueDict[str, UploadedFile[Any]]", name: str
    ) -> Any:
        """Return every file."""
        return files.getlist(name)


class FilesField(forms.Field):
    """Attachments, checked one by one against the environment's email settings."""

    widget = FilesInput(attrs={"multiple": True})

    def __init__(self, **options: Any) -> None:
        """Begin with the product's own limits; the form sets those of the environment."""
        super().__init__(**options)
        self.limits = EmailSettings()

    def clean(self, value: "Sequence[UploadedFile[Any]]") -> "list[UploadedFile[Any]]":
        """Return the files. Each that may not be sent is named with its reason."""
        good, wrong = self.sift(value)
        if wrong:
            raise ValidationError([ValidationError(sentence, code="attachment") for sentence in wrong])
        return good

    def sift(
        self, value: "Sequence[UploadedFile[Any]]", *, held: int = 0
    ) -> "tuple[list[UploadedFile[Any]], list[str]]":
        """Return the files that may be sent beside `held` others, and a sentence for each that may not."""
        good, wrong = list["UploadedFile[Any]"](), list[str]()
        for file in value:
            if sentence := self._complaint(file):
                wrong.append(sentence)
            elif held + len(good) >= MOST_ATTACHMENTS:
                words = {"file": file.name, "number": MOST_ATTACHMENTS}
                wrong.append(_("%(file)s was left out: an email holds up to %(number)d attachments.") % words)
            else:
                good.append(file)
        return good, wrong

    def _complaint(self, file: "UploadedFile[Any]") -> str:
        name, size = file.name or _("A file"), file.size or 0
        limit = self.limits.maximum_attachment_bytes
        if self.limits.blocks_type(name):
            return _(
                "%(file)s is not attached: files of type .%(ending)s may not be sent. "
                "Pack it into an archive."
            ) % {"file": name, "ending": file_ending(name)}
        if size > limit:
            return _(
                "%(file)s is not attached: it has %(size)s, and the limit for attachments is %(limit)s. "
                "Choose a smaller file, or raise the limit in Email settings."
            ) % {"file": name, "size": filesizeformat(size), "limit": filesizeformat(limit)}
        return ""


class ComposeForm(ConsoleForm, forms.Form):
    """An email to be sent from a mailbox."""

    to = AddressListField(required=False, label=gettext_lazy("To"), max_length=LONGEST_LIST)
    cc = AddressListField(required=False, label=gettext_lazy("Cc"), max_length=LONGEST_LIST)
    bcc = AddressListField(required=False, label=gettext_lazy("Bcc"), max_length=LONGEST_LIST)
    subject = forms.CharField(required=False, label=gettext_lazy("Subject"), max_length=LONGEST_SUBJECT)
    text = forms.CharField(
        required=False,
        label=gettext_lazy("Message"),
        strip=False,
        max_length=LONGEST_TEXT,
        widget=forms.Textarea(attrs={"rows": "14", "class": "letter"}),
    )
    attachments = FilesField(required=False, label=gettext_lazy("Add attachments"))

    tips: ClassVar[dict[str, Any]] = {
        "to": gettext_lazy(
            "One or more addresses, separated by commas or semicolons. "
            "A name may come first: Ana <a@example.org>."
        ),
        "bcc": gettext_lazy("These people get the email, and nobody sees their addresses."),
    }

    def __init__(self, *args: Any, limits: EmailSettings, **options: Any) -> None:
        """Say what the environment allows."""
        super().__init__(*args, **options)
        files = self.fields["attachments"]
        assert isinstance(files, FilesField)
        files.limits = limits
        files.help_text = _("Up to %(size)s each.") % {
            "size": filesizeformat(limits.maximum_attachment_bytes)
        }

    def sift(
        self, files: "Sequence[UploadedFile[Any]]", *, held: int
    ) -> "tuple[list[UploadedFile[Any]], list[str]]":
        """Return the files that may be sent, and what is wrong with the others."""
        field = self.fields["attachments"]
        assert isinstance(field, FilesField)
        return field.sift(files, held=held)

    def as_typed(self) -> dict[str, str]:
        """Return what was typed, right or wrong, for a draft."""
        longest = {"subject": LONGEST_SUBJECT, "text": LONGEST_TEXT}
        return {
            name: str(self.data.get(name, "")).replace("\0", "")[: longest.get(name, LONGEST_LIST)]
            for name in ("to", "cc", "bcc", "subject", "text")
        }

    def clean_subject(self) -> str:
        """Refuse what would end the header early."""
        subject: str = self.cleaned_data["subject"]
        if CONTROLS.search(subject):
            raise ValidationError(_("The subject holds a line break or control character. Type it anew."))
        return subject

    def clean(self) -> dict[str, Any]:
        """Ask for somebody to send to."""
        cleaned = super().clean() or self.cleaned_data
        names = ("to", "cc", "bcc")
        if not any(name in self.errors for name in names):
            number = sum(len(cleaned[name]) for name in names)
            if number == 0:
                self.add_error("to", _("Enter at least one address to send to."))
            elif number > MOST_RECIPIENTS:
                words = {"number": number, "limit": MOST_RECIPIENTS}
                sentence = _("%(number)d addresses are too many for one email; the limit is %(limit)d.")
                self.add_error("to", sentence % words)
        return cleaned
