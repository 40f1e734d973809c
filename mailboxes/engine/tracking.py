"""Which messages belong together, and which of them a mailbox keeps: decided for a whole batch at a time.

A message belongs to the one that it names (In-Reply-To, then References from the nearest), else to the
one whose tracking token its subject holds, else, when smart matching is on, to the newest one with the
same subject words and people. Both received and sent messages of the environment count. What nobody
here knows still has a place: the conversation's key comes from the first message that it refers to, so
that answers that arrive before, or in another mailbox than, the message they answer meet it there.

The number of queries depends on the settings and not on the number of messages.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db.models import Max, QuerySet
from django.db.models.functions import Lower

from emailsync.mail.parsing import AttachmentInfo, ParsedMessage
from emailsync.mail.tracking import TokenStyle, conversation_of, smart_key
from mailboxes.choices import BlockedBecause, Correlation, Reason, TrackIncoming
from mailboxes.models import Correspondent, Mailbox, Message, OutgoingMessage
from profiles.models import EmailSettings

#: How many of the nearest messages in References are looked for, beside the first.
NEAREST = 10

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

    @property
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
class Verdict:
    """Whether a message is kept, why, and what it belongs to."""

    is_wanted: bool
    reason: Reason
    conversation: UUID
    correlation: str = ""
    answered: Known = Known(None)
    smart_key: str = ""


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
        mailbox: Mailbox | None,
        options: Collection[str],
    ) -> None:
        """Look up what `batch` may answer; `options` are those it is going to be judged by."""
        self._rules, self._mailbox = rules, mailbox
        self._by_id = self._sent_and_received({name for each in batch for name in self._named(each)})
        self._by_token: dict[str, Known] = {}
        if rules.tokens and (tokens := {t for each in batch for t in rules.tokens.find(each.subject)}):
            self._by_token = _newest(self._sent(tracking_token__in=tokens), "tracking_token", _outgoing)
        self._by_smart_key = self._alike({self._smart_key(each) for each in batch} - {""})
        senders = {_sender(each) for each in batch} - {""}
        self._senders = {option: self._senders_of(option, senders) for option in options}

    def judge(self, parsed: ParsedMessage, option: str) -> Verdict:
        """Decide about a message by `option` (TrackIncoming)."""
        correlation, known = self._answered(parsed)
        conversation = known.conversation if known else None
        reason = self._reason(parsed, option, correlation)
        return Verdict(
            is_wanted=reason not in NOT_KEPT,
            reason=reason,
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

    def _reason(self, parsed: ParsedMessage, option: str, correlation: Correlation | None) -> Reason:
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

    def _named(self, parsed: ParsedMessage) -> tuple[str, ...]:
        """Return the messages that this one says it answers, the nearest first."""
        if not self._rules.settings.use_correlation:
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


NOT_KEPT = frozenset(
    {Reason.NO_CORRELATION_MATCH, Reason.NOTHING_WANTED, Reason.UNKNOWN_SENDER, Reason.SENDER_NOT_ENABLED}
)


def _sender(parsed: ParsedMessage) -> str:
    return parsed.sender.address.lower() if parsed.sender else ""


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
