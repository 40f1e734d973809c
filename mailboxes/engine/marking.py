"""What is put on outgoing mail so that its answers are recognised: token, conversation, key."""

from dataclasses import dataclass
from uuid import UUID

from django.db.models import F, Max

from emailsync.mail.composing import Draft
from emailsync.mail.tracking import TokenStyle, with_token
from mailboxes.engine.tracking import Rules
from mailboxes.models import Mailbox, Message, OutgoingMessage, TokenCounter
from profiles.models import Environment


@dataclass(frozen=True)
class Marks:
    """What the answers to an outgoing message are recognised by, and its subject with the token."""

    subject: str
    tracking_token: str
    conversation: UUID
    smart_key: str


def mark(mailbox: Mailbox, draft: Draft, *, message_id: str, answers: Message | None) -> Marks:
    """Return the marks of `draft`, which is about to be sent from `mailbox` as `message_id`.

    Call it within a transaction: it counts the tokens that were given out. An answer keeps the token that
    its subject holds already.
    """
    rules = Rules.of(mailbox.environment_id)
    subject, token = draft.subject, ""
    if rules.tokens:
        token = _known(rules, subject) or _new(mailbox, rules.tokens)
        subject = with_token(subject, token)
        token = token if token in subject else ""
    root = next(iter(draft.references), draft.in_reply_to) or message_id
    people = (mailbox.address, *(each.address for each in (*draft.to, *draft.cc)))
    return Marks(
        subject=subject,
        tracking_token=token,
        conversation=(answers.conversation if answers else None) or rules.new_conversation(root),
        smart_key=rules.smart_key(subject, people),
    )


def _known(rules: Rules, subject: str) -> str:
    """Return the token of this environment that a subject holds, or nothing."""
    found = rules.tokens.find(subject) if rules.tokens else ()
    if not found:
        return ""
    sent = OutgoingMessage.objects.filter(environment=rules.environment, tracking_token__in=found)
    known = set(sent.values_list("tracking_token", flat=True).distinct())
    return next((token for token in found if token in known), "")


def _new(mailbox: Mailbox, style: TokenStyle) -> str:
    own = TokenCounter.objects.filter(mailbox=mailbox)
    if not own.update(messages=F("messages") + 1):
        # One number after the other: whoever is new waits here until the one before has theirs.
        Environment.objects.select_for_update().only("pk").get(pk=mailbox.environment_id)
        others = TokenCounter.objects.filter(environment=mailbox.environment_id)
        highest = others.aggregate(highest=Max("number"))["highest"] or 0
        own.get_or_create(
            mailbox=mailbox,
            defaults={"environment_id": mailbox.environment_id, "number": highest + 1, "messages": 0},
        )
        own.update(messages=F("messages") + 1)
    counter = own.get()
    return style.token(user=counter.number, message=counter.messages)
