"""How an answer and a forwarded email begin: to whom, under which subject, quoting what."""

import re
from collections.abc import Iterable

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from mailboxes.choices import RecipientKind
from mailboxes.forms.compose import CONTROLS, LONGEST_SUBJECT
from mailboxes.models import Message, Recipient

LONGEST_QUOTE = 100_000


def reply_to(message: Message, *, text: str) -> dict[str, str]:
    """Return what the form of an answer to `message` begins with; `text` is what it quotes."""
    return {
        "to": _list(_answer_people(message)),
        "subject": prefixed("Re:", message.subject),
        "text": _quote(message, text),
    }


def reply_all_to(message: Message, *, text: str, myself: str) -> dict[str, str]:
    """Return what an answer to all begins with: the others of To and Cc are copied, `myself` is not."""
    to = _answer_people(message)
    known = {myself.casefold(), *(address.casefold() for _name, address in to)}
    cc: list[tuple[str, str]] = []
    for person in _people(message, RecipientKind.TO, RecipientKind.CC):
        if person[1].casefold() not in known:
            known.add(person[1].casefold())
            cc.append(person)
    return reply_to(message, text=text) | {"cc": _list(cc)}


def forward_of(message: Message, *, text: str | None) -> dict[str, str]:
    """Return what the form of a forwarded email begins with; without `text` it is attached whole."""
    if text is None:
        return {"subject": prefixed("Fwd:", message.subject), "text": ""}
    head = [
        _("---------- Forwarded message ----------"),
        _("From: %(people)s") % {"people": _written(message.from_name, message.from_address)},
        _("Date: %(moment)s") % {"moment": _moment(message)},
        _("Subject: %(subject)s") % {"subject": _bare(message.subject)},
        _("To: %(people)s") % {"people": _list(_people(message, RecipientKind.TO))},
    ]
    copied = _people(message, RecipientKind.CC)
    if copied:
        head.append(_("Cc: %(people)s") % {"people": _list(copied)})
    quoted = "\n".join([*head, "", text[:LONGEST_QUOTE].rstrip(), ""])
    return {"subject": prefixed("Fwd:", message.subject), "text": f"\n\n{quoted}"}


def prefixed(word: str, subject: str) -> str:
    """Return a subject with "Re:" or "Fwd:" before it, once (RFC 5322, 3.6.5)."""
    bare = _bare(subject)
    begins = bare[: len(word)].casefold() == word.casefold()
    return (bare if begins else f"{word} {bare}")[:LONGEST_SUBJECT]


def _bare(subject: str) -> str:
    return CONTROLS.sub(" ", " ".join(subject.split()))


def _people(message: Message, *kinds: RecipientKind) -> list[tuple[str, str]]:
    found: Iterable[Recipient] = message.recipients.filter(kind__in=kinds)
    order = {kind: number for number, kind in enumerate(kinds)}
    in_order = sorted(found, key=lambda one: (order[RecipientKind(one.kind)], one.position))
    return [(one.name, one.address) for one in in_order if one.address]


def _answer_people(message: Message) -> list[tuple[str, str]]:
    wanted = _people(message, RecipientKind.REPLY_TO)
    return wanted or ([(message.from_name, message.from_address)] if message.from_address else [])


def _list(people: Iterable[tuple[str, str]]) -> str:
    return ", ".join(_written(name, address) for name, address in people)


def _written(name: str, address: str) -> str:
    """Write an address the way the form reads it."""
    plain = " ".join(CONTROLS.sub(" ", name).replace("\\", "").replace('"', "'").split())
    if not plain or plain == address:
        return address
    return f'"{plain}" <{address}>' if re.search(r"[,;:<>@()\[\].]", plain) else f"{plain} <{address}>"


def _moment(message: Message) -> str:
    moment = timezone.localtime(message.date or message.received_at)
    return f"{date_format(moment, 'DATE_FORMAT')}, {date_format(moment, 'H:i')}"


def _quote(message: Message, text: str) -> str:
    moment = timezone.localtime(message.date or message.received_at)
    words = {
        "day": date_format(moment, "M j, Y"),
        "time": date_format(moment, "H:i"),
        "who": message.from_name or message.from_address or _("somebody"),
    }
    lines = text[:LONGEST_QUOTE].rstrip().splitlines()
    quoted = "\n".join(f"> {line}".rstrip() for line in lines)
    return "\n\n" + _("On %(day)s at %(time)s, %(who)s wrote:") % words + f"\n{quoted}\n"
