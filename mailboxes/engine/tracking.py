"""Which messages belong together, and which of them a mailbox keeps: decided for a whole batch at a time.

A message belongs to the one that it names (In-Reply-To, then References from the nearest), else to the
one whose tracking token its subject holds, else, when smart matching is on, to the newest one with the
same subject words and people. Both received and sent messages of the environment count. What nobody
here knows still has a place: the conversation's key comes from the first message that it refers to, so
that answers that arrive before, or in another mailbox than, the message they answer meet it there.

Whether it is kept is for the option of the mailbox that is read to say, and where that refuses, for those
of the other recipients' mailboxes in this environment: the first that accepts it decides.

The number of queries depends on the settings and not on the number of messages.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Max, Q, QuerySet
from django.db.models.functions import Lower

from emailsync.mail.parsing import AttachmentInfo, ParsedMessage
from emailsync.mail.tracking import TokenStyle, conversation_of, smart_key
from mailboxes.choices import (
    OPTION_OF,
    AddressStatus,
    BlockedBecause,
    Correlation,
    MailboxKind,
    Reason,
    TrackIncoming,
)
from mailboxes.models import Correspondent, Mailbox, Message, OutgoingMessage
from mailboxes.models.mailbox import MailboxQuerySet
from profiles.choices import IncomingMethod
from profiles.models import EmailSettings

#: How many of the nearest messages in References are looked for, beside the first.
NEAREST = 10
#: How many recipients of a message are looked up: a database takes only so many values in one query.
RESOLVED = 100

KEPT_FOR = {
    Correlation.IN_REPLY_TO: Reason.REPLY,
    Correlation.TRACKING_TOKEN: Reason.TRACKING_TOKEN,
    Correlation.SMART_MATCHING: Reason.SMART_MATCH,
}


@dataclass(frozen=True)
class Rules:
    """What the email settings of an environment say about mail, read once for a run."""

    environment: int
    settings: EmailSettings

    @classmethod
    def of(cls, environment: int) -> "Rules":
        """Read them; an environment without settings has the usual ones."""
        settings = EmailSettings.objects.filter(environment_id=environment).first()
        return cls(environment, settings or EmailSettings())

    @cached_property
    def tokens(self) -> TokenStyle | None:
        """Return how tracking tokens are written, or nothing when none are used."""
        said = self.settings
        if not said.use_tracking_token:
            return None
        return TokenStyle(
            said.tracking_prefix,
            said.tracking_base_number,
            said.tracking_user_digits,
            said.tracking_message_digits,
        )

    def new_conversation(self, root: str) -> UUID:
        """Return the key of the conversation that the message identifier `root` began here."""
        return conversation_of(root, place=str(self.environment))

    def smart_key(self, subject: str, people: Iterable[str]) -> str:
        """Return what answers are recognised by without any identifier; nothing when that is off."""
        if not self.settings.use_smart_matching:
            return ""
        return smart_key(self.tokens.without(subject) if self.tokens else subject, people)

    def receiving(self) -> MailboxQuerySet:
        """Return the mailboxes that may be given mail: active, and approved where the settings ask for it."""
        approved = Q(address_status=AddressStatus.APPROVED)
        if not self.settings.process_only_approved_users:
            approved |= Q(kind=MailboxKind.USER)
        if not self.settings.process_only_approved_queues:
            approved |= Q(kind=MailboxKind.QUEUE)
        found = Mailbox.objects.active().filter(approved, environment=self.environment)
        return found.exclude(kind=MailboxKind.FORWARD).exclude(incoming=IncomingMethod.NONE)

    def accepting(self) -> MailboxQuerySet:
        """Return the mailboxes whose options keep some of the mail that names them, wherever it is read."""
        return self.receiving().exclude(track_incoming=TrackIncoming.NONE)

    def blocks(self, attachment: AttachmentInfo) -> str:
        """Say in a word why an attachment is not handed out, or nothing."""
        if self.settings.blocks_type(attachment.filename):
            return BlockedBecause.TYPE.value
        if attachment.size > self.settings.maximum_attachment_bytes:
            return BlockedBecause.SIZE.value
        return ""


@dataclass(frozen=True)
class Known:
    """A message that others may answer: received (`message`) or sent (`outgoing`)."""

    conversation: UUID | None
    message: int | None = None
    outgoing: int | None = None


@dataclass(frozen=True)
class Acceptor:
    """A recipient's mailbox in this environment, and what its option keeps."""

    pk: UUID
    option: TrackIncoming


@dataclass(frozen=True)
class Verdict:
    """Whether a message is kept, why, and what it belongs to."""

    is_wanted: bool
    reason: Reason
    conversation: UUID
    correlation: str = ""
    answered: Known = Known(None)
    smart_key: str = ""
    #: Another recipient's mailbox, whose option keeps it where that of the mailbox that is read does not.
    accepted_by: UUID | None = None


def unreadable() -> Verdict:
    """Return the verdict on a message that could not be parsed: its bytes are kept."""
    return Verdict(is_wanted=True, reason=Reason.UNREADABLE, conversation=uuid4())


class Tracker:
    """Judges the messages of one batch in their order; all queries are made when it is created."""

    def __init__(
        self,
        rules: Rules,
        batch: Sequence[ParsedMessage],
        *,
        mailboxes: Collection[Mailbox],
    ) -> None:
        """Look up what `batch`, read from `mailboxes` or given to them, may answer, and who may accept it."""
        self._rules = rules
        # Its own copy of what a message answers goes before that of others.
        self._mailbox = next(iter(mailboxes)) if len(mailboxes) == 1 else None
        self._by_id = self._sent_and_received({name for each in batch for name in self._named(each)})
        self._by_token: dict[str, Known] = {}
        if rules.tokens and (tokens := {t for each in batch for t in rules.tokens.find(each.subject)}):
            self._by_token = _newest(self._sent(tracking_token__in=tokens), "tracking_token", _outgoing)
        self._by_smart_key = self._alike({self._smart_key(each) for each in batch} - {""})
        options = {mailbox.keeps for mailbox in mailboxes}
        self._acceptors: dict[str, Acceptor] = {}
        if options - {TrackIncoming.ALL}:
            self._acceptors = self._accepting({name for each in batch for name in _recipients(each)})
            options |= {acceptor.option for acceptor in self._acceptors.values()}
        senders = {_sender(each) for each in batch} - {""}
        self._senders = {option: self._senders_of(option, senders) for option in options}

    def judge(self, parsed: ParsedMessage, mailbox: Mailbox) -> Verdict:
        """Decide about a message of `mailbox`: by its option, then by those of the other recipients."""
        correlation, known = self._answered(parsed)
        conversation = known.conversation if known else None
        reason, accepted_by = self._reason(parsed, mailbox.keeps, correlation), None
        if reason not in OPTION_OF:
            for acceptor in self._others(parsed, mailbox):
                theirs = self._reason(parsed, acceptor.option, correlation)
                if theirs in OPTION_OF:
                    reason, accepted_by = theirs, acceptor.pk
                    break
        return Verdict(
            is_wanted=reason in OPTION_OF,
            reason=reason,
            accepted_by=accepted_by,
            conversation=conversation or self._rules.new_conversation(self._root(parsed)),
            correlation=correlation.value if correlation else "",
            answered=known or Known(None),
            smart_key=self._smart_key(parsed),
        )

    def keep(self, parsed: ParsedMessage, verdict: Verdict, pk: int) -> None:
        """Let the messages that follow answer this one, which is stored as `pk`."""
        known = Known(verdict.conversation, message=pk)
        if parsed.message_id:
            self._by_id.setdefault(parsed.message_id, known)
        if verdict.smart_key:
            self._by_smart_key[verdict.smart_key] = known

    def _answered(self, parsed: ParsedMessage) -> tuple[Correlation | None, Known | None]:
        for name in self._named(parsed):
            if name in self._by_id:
                return Correlation.IN_REPLY_TO, self._by_id[name]
        for token in self._rules.tokens.find(parsed.subject) if self._rules.tokens else ():
            if token in self._by_token:
                return Correlation.TRACKING_TOKEN, self._by_token[token]
        if known := self._by_smart_key.get(self._smart_key(parsed)):
            return Correlation.SMART_MATCHING, known
        return None, None

    def _reason(
        self, parsed: ParsedMessage, option: TrackIncoming, correlation: Correlation | None
    ) -> Reason:
        if option == TrackIncoming.ALL:
            return Reason.ALL_WANTED
        if option == TrackIncoming.IN_RESPONSE:
            return KEPT_FOR[correlation] if correlation else Reason.NO_CORRELATION_MATCH
        if option == TrackIncoming.NONE:
            return Reason.NOTHING_WANTED
        is_known = _sender(parsed) in self._senders[option]
        if option == TrackIncoming.FROM_CONTACTS:
            return Reason.KNOWN_SENDER if is_known else Reason.UNKNOWN_SENDER
        return Reason.EMAIL_ENABLED_SENDER if is_known else Reason.SENDER_NOT_ENABLED

    def _others(self, parsed: ParsedMessage, mailbox: Mailbox) -> list[Acceptor]:
        """Return who may accept a message beside the mailbox that is read, in the order of To, Cc and Bcc."""
        if not self._acceptors:
            return []
        found = [self._acceptors[name] for name in _recipients(parsed) if name in self._acceptors]
        return [acceptor for acceptor in found if acceptor.pk != mailbox.pk]

    def _named(self, parsed: ParsedMessage) -> tuple[str, ...]:
        """Return the messages that this one says it answers, the nearest first."""
        if not self._rules.settings.use_correlation or not (parsed.in_reply_to or parsed.references):
            return ()
        nearest = parsed.references[: -NEAREST - 1 : -1]
        named = dict.fromkeys((parsed.in_reply_to, *nearest, *parsed.references[:1]))
        return tuple(name for name in named if name.startswith("<") and name != parsed.message_id)

    def _root(self, parsed: ParsedMessage) -> str:
        if not self._rules.settings.use_correlation:
            return parsed.message_id
        first = parsed.references[0] if parsed.references else parsed.in_reply_to
        return first or parsed.message_id

    def _smart_key(self, parsed: ParsedMessage) -> str:
        if not self._rules.settings.use_smart_matching:
            return ""
        people = (_sender(parsed), *(each.address for each in (*parsed.to, *parsed.cc)))
        return self._rules.smart_key(parsed.subject, people)

    def _received(self, **wanted: Any) -> QuerySet[Message]:
        return Message.objects.filter(environment=self._rules.environment, **wanted)

    def _sent(self, **wanted: Any) -> QuerySet[OutgoingMessage]:
        return OutgoingMessage.objects.filter(environment=self._rules.environment, **wanted)

    def _sent_and_received(self, names: set[str]) -> dict[str, Known]:
        """Return what is known by Message-ID: of this mailbox first, then what was sent, then of others."""
        found: dict[str, Known] = {}
        if not names:
            return found
        found |= _newest(self._sent(message_id__in=names), "message_id", _outgoing)
        if self._mailbox is not None:
            own = Message.objects.filter(mailbox=self._mailbox, message_id__in=names)
            found |= _newest(own, "message_id", _message)
        elsewhere = names - found.keys()
        if elsewhere:
            found |= _newest(self._received(message_id__in=elsewhere), "message_id", _message)
        return found

    def _alike(self, keys: set[str]) -> dict[str, Known]:
        if not keys:
            return {}
        received = _newest(self._received(smart_key__in=keys), "smart_key", _message)
        return received | _newest(self._sent(smart_key__in=keys), "smart_key", _outgoing)

    def _accepting(self, addresses: set[str]) -> dict[str, Acceptor]:
        """Return which of the `addresses` are mailboxes here that keep some of their mail."""
        if not addresses:
            return {}
        found = self._rules.accepting().annotate(lower=Lower("address")).filter(lower__in=addresses)
        rows = found.order_by().values_list("lower", "pk", "track_incoming")
        return {lower: Acceptor(pk, TrackIncoming(option)) for lower, pk, option in rows}

    def _senders_of(self, option: str, senders: set[str]) -> frozenset[str]:
        """Return which of the `senders` this option keeps mail from."""
        if option == TrackIncoming.FROM_CONTACTS:
            known = Correspondent.objects.filter(environment=self._rules.environment, address__in=senders)
            return frozenset(known.values_list("address", flat=True))
        if option == TrackIncoming.FROM_ENABLED:
            mailboxes = Mailbox.objects.filter(environment=self._rules.environment)
            known_mailboxes = mailboxes.annotate(lower=Lower("address")).filter(lower__in=senders)
            return frozenset(known_mailboxes.values_list("lower", flat=True))
        return frozenset()


def _sender(parsed: ParsedMessage) -> str:
    return parsed.sender.address.lower() if parsed.sender else ""


def _recipients(parsed: ParsedMessage) -> tuple[str, ...]:
    people = (*parsed.to, *parsed.cc, *parsed.bcc)[:RESOLVED]
    return tuple(dict.fromkeys(each.address.lower() for each in people if each.address))


def _message(pk: int, conversation: UUID | None) -> Known:
    return Known(conversation, message=pk)


def _outgoing(pk: int, conversation: UUID | None) -> Known:
    return Known(conversation, outgoing=pk)


def _newest(
    rows: "QuerySet[Message] | QuerySet[OutgoingMessage]",
    by: str,
    make: Callable[[int, UUID | None], Known],
) -> dict[str, Known]:
    """Return the newest of `rows` for each value of the column `by`, however many share one."""
    newest: Mapping[str, int] = dict(rows.order_by().values_list(by).annotate(newest=Max("pk")))
    if not newest:
        return {}
    found = rows.model._base_manager.filter(pk__in=newest.values())
    conversations = dict(found.values_list("pk", "conversation"))
    return {value: make(pk, conversations.get(pk)) for value, pk in newest.items()}
