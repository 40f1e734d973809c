"""Read messages again that could not be read and are in quarantine: their bytes are all there.

A message that is read now takes its place among the others: it keeps its address, gets its rows, and its
ledger says that it is stored. One that still cannot be read stays as it is, with the reason of this attempt.
Doing it twice does nothing.
"""

from dataclasses import replace
from datetime import datetime

from django.db import transaction

from emailsync.mail.incoming import FetchedMessage, RawBody
from mailboxes.alerts import wall
from mailboxes.choices import LedgerOutcome, MailboxKind, Reason
from mailboxes.engine import preparing, storing, unpacking
from mailboxes.engine.preparing import Prepared
from mailboxes.engine.rows import Place, Rows
from mailboxes.engine.tracking import Rules, Tracker
from mailboxes.models import LedgerEntry, Message, RawMessage


def read_again(message: Message, *, now: datetime) -> str:
    """Read a message in quarantine again; returns why it could not be, or nothing.

    `message.mailbox` is loaded. Call it within a transaction.
    """
    raw = RawMessage.objects.filter(message=message).first()
    if raw is None:
        return "The bytes of the message are not in the database."
    try:
        stream = raw.open()
    except FileNotFoundError:
        return "The file with the bytes of the message is missing."
    with stream:
        content = None if raw.content is None else stream.read()
        body = RawBody(content, file=stream, size=message.size)
        source = FetchedMessage(message.uid or 0, message.received_at, message.size, body)
        is_forward = message.mailbox.kind == MailboxKind.FORWARD
        prepared = preparing.prepare(source, unpack=is_forward, keep=False)
        if prepared.parsed is None:
            Message.objects.filter(pk=message.pk).update(defects=[prepared.failure])
            return prepared.failure
        try:
            with transaction.atomic():
                _take_in(message, replace(prepared, sha256=message.sha256, file=raw.file), now=now)
        except storing.REFUSALS as error:
            failure = storing.refusal(error)
            Message.objects.filter(pk=message.pk).update(defects=[failure])
            return failure
    return ""


def _take_in(message: Message, prepared: Prepared, *, now: datetime) -> None:
    assert prepared.parsed is not None
    mailbox = message.mailbox
    rules = Rules.of(message.environment_id)
    verdict = Tracker(rules, [prepared.parsed], mailboxes=[mailbox]).judge(prepared.parsed, mailbox)
    if not verdict.is_wanted:
        # It was kept so long, and somebody asked for it: it does not vanish for that.
        verdict = replace(verdict, is_wanted=True, reason=Reason.ASKED_FOR)
    place = Place(
        mailbox=mailbox.pk,
        folder=message.folder,
        uidvalidity=message.uidvalidity,
        uid=message.uid,
        size=message.size,
        received_at=message.received_at,
        forwarded_in=message.forwarded_in_id,
    )
    rows = Rows(rules, now=now)
    rows.add_message(place, prepared, verdict, pk=message.pk, replaces=True)
    forwarded = unpacking.sort(rules, [prepared] if mailbox.kind == MailboxKind.FORWARD else [])
    if forwarded.parcels:
        ids = iter(storing.message_ids(len(forwarded.parcels)))
        unpacking.deliver(rows, rules, forwarded.parcels, outers={message.sha256: message.pk}, ids=ids)
    rows.insert()
    entries = LedgerEntry.objects.filter(message=message, outcome=LedgerOutcome.QUARANTINED)
    for uid, uidl in entries.values_list("uid", "uidl"):
        wall.resolve("message_quarantined", mailbox=mailbox, now=now, about=str(uidl or uid))
    entries.update(outcome=LedgerOutcome.STORED, reason=verdict.reason)
    if not LedgerEntry.objects.filter(mailbox=mailbox, outcome=LedgerOutcome.QUARANTINED).exists():
        # In a folder renumbered since, it was told of under another number.
        wall.resolve("message_quarantined", mailbox=mailbox, now=now)
