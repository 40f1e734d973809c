"""Mail that server rules forwarded as attachments to the forward mailbox, given to whom it was for.

The forward mailbox keeps the message that brought it. Each message attached to that one goes, byte for
byte and in the same transaction, to the mailbox whose rule forwarded it (the sender of the outer message),
else to the mailboxes that it names itself. Only mailboxes that receive through the forward mailbox, are
active, and are approved where the email settings ask for it, are given anything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db.models.functions import Lower

from emailsync.mail.addresses import parse_addresses
from emailsync.mail.parsing import ParsedMessage
from mailboxes.choices import LedgerOutcome, Reason
from mailboxes.engine.preparing import Prepared, at_rest
from mailboxes.engine.rows import Place, Rows
from mailboxes.engine.tracking import Rules, Tracker, Verdict, unreadable
from mailboxes.models import LedgerEntry, Mailbox, Message
from profiles.choices import IncomingMethod

#: What mail servers write about whom they delivered a message to.
DELIVERED = frozenset({"delivered-to", "x-original-to"})


@dataclass(frozen=True)
class Parcel:
    """One attached message on its way to one mailbox."""

    outer: Prepared
    inner: Prepared
    mailbox: Mailbox

    @property
    def uidl(self) -> str:
        """Return what the ledger of the mailbox knows it by, whenever the outer message is read."""
        return f"fwd:{self.outer.sha256[:56]}:{self.inner.source.uid}"

    @property
    def is_before_start(self) -> bool:
        """Say whether the mailbox wants no mail that old."""
        start = self.mailbox.effective_start
        return start is not None and self.inner.source.received_at < start


@dataclass
class Sorted:
    """What a batch of the forward mailbox brought, and which of its messages found nobody."""

    parcels: list[Parcel]
    #: UIDs of the outer messages, with what is wrong with them.
    unmatched: list[tuple[int, str]]


def sort(rules: Rules, outers: Sequence[Prepared]) -> Sorted:
    """Find whom the messages attached to `outers` are for."""
    found = Sorted([], [])
    if not outers:
        return found
    known = _mailboxes(rules, {address for outer in outers for address in _candidates(outer)})
    for outer in outers:
        if not outer.attached:
            found.unmatched.append((outer.source.uid, NOTHING_ATTACHED))
        for inner in outer.attached:
            mailboxes = _for_whom(outer, inner, known)
            found.parcels += [Parcel(outer, inner, mailbox) for mailbox in mailboxes]
            if not mailboxes:
                found.unmatched.append((outer.source.uid, NOBODY))
    return found


#: Kinds of alerts: see `mailboxes.alerts.kinds`.
NOTHING_ATTACHED = "forward_without_attachment"
NOBODY = "forward_for_nobody"


def deliver(
    rows: Rows, rules: Rules, parcels: Sequence[Parcel], *, outers: dict[str, int], ids: Iterator[int]
) -> int:
    """Add rows for `parcels`; `outers` are the stored outer messages by hash. Returns how many were new.

    What a mailbox was given before it is not given again.
    """
    mailboxes = {parcel.mailbox for parcel in parcels}
    uidls = [parcel.uidl for parcel in parcels]
    entries = LedgerEntry.objects.filter(mailbox__in=mailboxes, is_listed=False, uidl__in=uidls)
    accounted = set(entries.values_list("mailbox_id", "uidl"))
    same = Message.objects.filter(mailbox__in=mailboxes, sha256__in={p.inner.sha256 for p in parcels})
    held = {(mailbox, sha256): pk for mailbox, sha256, pk in same.values_list("mailbox_id", "sha256", "pk")}
    parsed = [parcel.inner.parsed for parcel in parcels if parcel.inner.parsed]
    tracker = Tracker(rules, parsed, mailboxes=mailboxes)
    stored = 0
    for parcel in parcels:
        mailbox, inner = parcel.mailbox, parcel.inner
        if (mailbox.pk, parcel.uidl) in accounted:
            continue
        accounted.add((mailbox.pk, parcel.uidl))
        place = Place(
            mailbox=mailbox.pk,
            folder="INBOX",
            size=inner.source.size,
            received_at=inner.source.received_at,
            uidl=parcel.uidl,
            forwarded_in=outers[parcel.outer.sha256],
        )
        same_pk = held.get((mailbox.pk, inner.sha256))
        if same_pk is not None:
            rows.add_ledger(place, LedgerOutcome.DUPLICATE, Reason.SAME_CONTENT, same_pk)
        elif parcel.is_before_start:
            rows.add_ledger(place, LedgerOutcome.BEFORE_START, Reason.BEFORE_START_DATE, None)
        else:
            verdict = _judge(tracker, inner.parsed, mailbox)
            if not verdict.is_wanted:
                rows.add_ledger(place, LedgerOutcome.NOT_WANTED, verdict.reason, None)
                continue
            pk = held[mailbox.pk, inner.sha256] = next(ids)
            outcome = LedgerOutcome.STORED if inner.parsed else LedgerOutcome.QUARANTINED
            rows.add_message(place, at_rest(inner), verdict, pk=pk)
            rows.add_ledger(place, outcome, verdict.reason, pk)
            if inner.parsed:
                tracker.keep(inner.parsed, verdict, pk)
            stored += 1
    return stored


def _judge(tracker: Tracker, parsed: ParsedMessage | None, mailbox: Mailbox) -> Verdict:
    return tracker.judge(parsed, mailbox) if parsed else unreadable()


def _candidates(outer: Prepared) -> list[str]:
    return [*_sender(outer), *(address for inner in outer.attached for address in _named(inner))]


def _sender(outer: Prepared) -> list[str]:
    parsed = outer.parsed
    return [parsed.sender.address.lower()] if parsed and parsed.sender else []


def _named(inner: Prepared) -> list[str]:
    """Return the addresses that a message was for, as far as it tells."""
    parsed = inner.parsed
    if parsed is None:
        return []
    delivered = [
        address
        for name, value in parsed.headers
        if name.lower() in DELIVERED
        for address in parse_addresses(value)
    ]
    return [address.address.lower() for address in (*parsed.to, *parsed.cc, *delivered)]


def _for_whom(outer: Prepared, inner: Prepared, known: dict[str, Mailbox]) -> list[Mailbox]:
    for addresses in (_sender(outer), _named(inner)):
        found = {known[address].pk: known[address] for address in addresses if address in known}
        if found:
            return list(found.values())
    return []


def _mailboxes(rules: Rules, addresses: set[str]) -> dict[str, Mailbox]:
    """Return the mailboxes with these addresses that may be given mail, by address."""
    found = (
        rules.receiving()
        .filter(incoming=IncomingMethod.FORWARD_MAILBOX)
        .annotate(lower=Lower("address"))
        .filter(lower__in=addresses)
    )
    return {mailbox.address.lower(): mailbox for mailbox in found.select_related("server_profile")}
