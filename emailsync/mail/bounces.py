"""Read what mail servers say about messages that they could not deliver, or not yet.

Reports in the form made for it (RFC 3464) are taken at their word. Older servers write to people in free
form: there it is looked for the recipients that the caller knows, in the part before the returned message.
Nothing is believed before it names a message of ours and one of its recipients: the caller sees to that.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from emailsync.mail.envelope import ascii_domain
from emailsync.mail.headers import message_ids, one_line
from emailsync.mail.parsing import ParsedMessage

STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
RETURNED_TYPES = frozenset(
    {
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/rfc822-headers",
        "message/global-headers",
    }
)
#: As much of a returned message, or of a notice, as is looked at.
PART_LIMIT = 64 * 1024
REPORTS_LIMIT = 1000
TEXT_LIMIT = 500

DAEMONS = re.compile(
    r"^(mailer-daemon|postmaster|mail-daemon|mdaemon|mailerdaemon|mailsystem|bounces?)\b", re.IGNORECASE
)


def _any_of(*patterns: str, before: str = "") -> re.Pattern[str]:
    return re.compile(f"{before}(?:{'|'.join(patterns)})", re.IGNORECASE | re.MULTILINE)


FAILED = _any_of(
    "undeliver",
    "returned mail",
    "failure notice",
    r"delivery (?:status notification ?\(failure|has failed|failed|failure|problem|error)",
    "could(?: not|n.t) (?:be|deliver)",
    "was(?: not|n.t) (?:able to be )?delivered",
    "unable to deliver",
    "not able to deliver",
    "did not reach",
    "not be delivered",
    "permanent (?:fatal )?error",
    "returned to (?:the )?sender",
    "rejected",
)
DELAYED = _any_of(
    "delay",
    "not yet been delivered",
    "still being retried",
    "will (?:keep|continue to) (?:be retried|try)",
    "warning: could not send",
    "temporar(?:y|ily) (?:problem|failure|unable)",
    "do not need to resend",
)
#: Where the returned message begins in a notice of free form.
COPY_BEGINS = _any_of(
    "(?:this|below this line) is a copy",
    "(?:included|enclosed) is a copy",
    "a copy of (?:your|the) message",
    "(?:original|returned|undelivered) message(?: header|$|[ -]*-)",
    "message headers? follow",
    "the header of the original",
    "(?:received|return-path|dkim-signature|x-received): ",
    before=r"^[ \t>-]*",
)
MESSAGE_ID_LINE = re.compile(
    r"^[ \t>]{0,8}Message-ID:[ \t]{0,8}(?:\n[ \t>]+)?(<[^<>\s]{1,996}>)", re.IGNORECASE | re.MULTILINE
)
STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
CODE = re.compile(r"(?<![\d.])([45])\d\d[ \-]")
FIELD = re.compile(r"^([A-Za-z][A-Za-z0-9-]{0,60})[ \t]*:[ \t]*(.*(?:\n[ \t]+.*)*)", re.MULTILINE)


class Action(StrEnum):
    """What a server did with a message for one recipient (RFC 3464, section 2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True)
class Report:
    """Say what became of a message for one recipient: status by RFC 3463, and the words of the server."""

    recipients: tuple[str, ...]
    action: Action
    status: str
    text: str


@dataclass(frozen=True)
class Bounce:
    """Hold a report: the messages it may be about, and what it says about whom."""

    message_ids: tuple[str, ...]
    reports: tuple[Report, ...]
    #: What was written to people where no machine can read it, without the returned message.
    notice: str = ""
    action: Action = Action.FAILED

    def about(self, recipients: Collection[str]) -> dict[str, Report]:
        """Return what is said about these, each under the name the caller gave it."""
        ours = {ascii_domain(name).lower(): name for name in recipients}
        found: dict[str, Report] = {}
        for report in self.reports:
            for named in report.recipients:
                if (name := ours.get(named)) is not None:
                    found.setdefault(name, report)
        if found or not self.notice:
            return found
        for address, name in ours.items():
            if (said := _said_about(address, self.notice)) is not None:
                found[name] = Report(
                    (address,), self.action, _status(said, self.action), one_line(said)[:TEXT_LIMIT]
                )
        return found


def read_bounce(
    parsed: ParsedMessage, contents: Callable[[Collection[int]], Mapping[int, bytes]]
) -> Bounce | None:
    """Return what a message reports about others, or None when it is no report.

    `contents` returns attachments of it by their numbers; it is asked once, because it may go through all of
    the message.
    """
    places = {each.content_type: each.position for each in reversed(parsed.attachments)}
    status_at = next((places[kind] for kind in STATUS_TYPES if kind in places), None)
    if status_at is None and not _is_from_a_server(parsed):
        return None
    returned_at = [each.position for each in parsed.attachments[:20] if each.content_type in RETURNED_TYPES]
    wanted = {*returned_at, *([] if status_at is None else [status_at])}
    texts = {position: _text(content) for position, content in contents(wanted).items()} if wanted else {}
    returned = [texts.get(position, "") for position in returned_at]
    notice = parsed.beginning(PART_LIMIT)
    ids = _identifiers(parsed, returned, notice)
    if not ids:
        return None
    reports = tuple(_reports(texts.get(status_at, ""))) if status_at is not None else ()
    if reports:
        return Bounce(ids, reports)
    action = _action(parsed.subject, notice)
    if action is None:
        return None
    begins = COPY_BEGINS.search(notice)
    notice = notice[: begins.start()] if begins else notice
    listed = tuple(_listed(parsed.values.get("x-failed-recipients", "")))
    if listed and action is Action.FAILED:
        return Bounce(ids, tuple(_listed_report(name, notice) for name in listed), notice)
    return Bounce(ids, (), notice, action)


def _is_from_a_server(parsed: ParsedMessage) -> bool:
    values = parsed.values
    return (
        (parsed.sender is not None and DAEMONS.match(parsed.sender.address) is not None)
        or values.get("return-path", "").strip() == "<>"
        or bool(values.get("x-failed-recipients"))
    )


def _identifiers(parsed: ParsedMessage, returned: Iterable[str], notice: str) -> tuple[str, ...]:
    """Return the Message-IDs that the report names: in what was returned, else quoted, else as its answer."""
    found = [name for text in returned for name in MESSAGE_ID_LINE.findall(text.partition("\n\n")[0])]
    found += MESSAGE_ID_LINE.findall(notice)
    found += message_ids(parsed.values.get("x-original-message-id", ""))
    found += [parsed.in_reply_to, *parsed.references[-3:]]
    return tuple(dict.fromkeys(name for name in found if name.startswith("<") and name != parsed.message_id))


def _reports(text: str) -> Iterator[Report]:
    """Yield the recipients of a delivery status: blocks of fields, the first about the message as a whole."""
    for block in re.split(r"\n[ \t]*\n", text)[:REPORTS_LIMIT]:
        fields = {name.lower(): " ".join(value.split()) for name, value in FIELD.findall(block)}
        names = [fields.get("original-recipient", ""), fields.get("final-recipient", "")]
        addresses = tuple(dict.fromkeys(address for name in names if (address := _typed_address(name))))
        if not addresses:
            continue
        status = next(iter(STATUS.findall(fields.get("status", ""))), "")
        action = _named_action(fields.get("action", ""), status)
        if action is not None:
            said = fields.get("diagnostic-code", "").partition(";")[2] or fields.get("status", "")
            yield Report(addresses, action, status, one_line(said)[:TEXT_LIMIT])


def _named_action(word: str, status: str) -> Action | None:
    """Return the action; a server that leaves it out has told it by the class of the status."""
    try:
        return Action(word.strip().lower().partition(" ")[0])
    except ValueError:
        return {"5": Action.FAILED, "4": Action.DELAYED, "2": Action.DELIVERED}.get(status[:1])


def _typed_address(field: str) -> str:
    """Return the address of a field such as "rfc822; ann@example.com"."""
    kind, semicolon, address = field.rpartition(";")
    if semicolon and kind.strip().lower() not in {"rfc822", "utf-8", "smtp", "x400", ""}:
        return ""
    address = address.strip().strip("<>").lower()
    return ascii_domain(address) if "@" in address else ""


def _listed(header: str) -> Iterator[str]:
    for name in header.split(","):
        if "@" in name:
            yield ascii_domain(name.strip().strip("<>").lower())


def _listed_report(address: str, notice: str) -> Report:
    said = _said_about(address, notice) or ""
    return Report((address,), Action.FAILED, _status(said, Action.FAILED), one_line(said)[:TEXT_LIMIT])


def _action(subject: str, notice: str) -> Action | None:
    """Return what a notice of free form tells; the delay first, for it promises not to have failed."""
    beginning = f"{subject}\n{notice[:2000]}"
    if DELAYED.search(subject) or (DELAYED.search(beginning) and not FAILED.search(subject)):
        return Action.DELAYED
    return Action.FAILED if FAILED.search(beginning) else None


def _said_about(address: str, notice: str) -> str | None:
    """Return the words that follow an address in a notice, up to the next empty line after some words."""
    for found in re.finditer(rf"(?<![\w.+-]){re.escape(address)}(?![\w-]|\.\w)", notice, re.IGNORECASE):
        after = notice[found.end() : found.end() + 1500].lstrip(">:. \t\r\n")
        words = re.split(r"\n[ \t]*\n", after)[0]
        return words.strip() or after[:TEXT_LIMIT].strip()
    return None


def _status(said: str, action: Action) -> str:
    """Return the enhanced status code in the words, or the one that its class stands for."""
    if (found := STATUS.search(said)) is not None:
        return found.group(1)
    if (code := CODE.search(said)) is not None:
        return f"{code.group(1)}.0.0"
    return "4.0.0" if action is Action.DELAYED else "5.0.0"


def _text(content: bytes) -> str:
    return content[:PART_LIMIT].decode("utf-8", "replace").replace("\r\n", "\n")
