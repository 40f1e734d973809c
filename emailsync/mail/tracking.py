"""What ties an answer to the message it answers, beside its Message-ID: tokens, subjects, people.

A tracking token stands at the end of the subject of what is sent, and comes back with the answer even
from programs that lose In-Reply-To. `CRM:0001001` is the prefix, a colon, the base number, the personal
number of the sender and the number of the message, the last two with leading zeros. Nothing is read out of
its digits again: a token is recognised by being one that was given out.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

SUBJECT_LIMIT = 255
#: What programs put before the subject of an answer, in the languages most often met.
ANSWER_MARK = re.compile(
    r"^(?:\s*(?:re|aw|antw|antwort|sv|vs|fw|fwd|wg|tr|rv|enc|doorst)\s*(?:\[\d{1,4}\]|\(\d{1,4}\))?\s*:)+",
    re.IGNORECASE,
)
WORD = re.compile(r"\w+")
#: A subject of fewer words says too little to tell conversations apart.
FEWEST_WORDS = 2


@dataclass(frozen=True)
class TokenStyle:
    """How an environment writes its tracking tokens."""

    prefix: str
    base: int
    user_digits: int
    message_digits: int

    def token(self, *, user: int, message: int) -> str:
        """Return the token of a sender's message; the count begins anew when its digits are used up."""
        count = message % 10**self.message_digits
        return f"{self.prefix}:{self.base}{user:0{self.user_digits}d}{count:0{self.message_digits}d}"

    def find(self, subject: str) -> tuple[str, ...]:
        """Return what looks like a token in `subject`, the last one first: answers add theirs at the end."""
        if ":" not in subject:
            return ()
        return tuple(dict.fromkeys(reversed(self._written.findall(subject))))

    def without(self, subject: str) -> str:
        """Return `subject` without what looks like a token."""
        return self._written.sub(" ", subject) if ":" in subject else subject

    @property
    def _written(self) -> re.Pattern[str]:
        return re.compile(rf"(?<!\w){re.escape(self.prefix)}:[0-9]{{2,35}}(?![0-9])")


def with_token(subject: str, token: str) -> str:
    """Return `subject` with `token` at its end, once, and short enough for the servers on its way.

    The subject gives way; a token that leaves no room for one is dropped.
    """
    if token in subject.split():
        return subject
    room = SUBJECT_LIMIT - len(token) - 1
    if room < 0:
        return subject
    return f"{subject[:room].rstrip()} {token}".lstrip()


def bare_subject(subject: str) -> str:
    """Return `subject` without what programs put before it when they answer or forward."""
    return ANSWER_MARK.sub("", subject).strip()


def smart_key(subject: str, people: Iterable[str]) -> str:
    """Return a word that an answer shares with what it answers: from the subject's words and all people.

    Empty when the subject is too short to tell one conversation from another.
    """
    words = sorted(set(WORD.findall(bare_subject(subject).casefold())))
    if len(words) < FEWEST_WORDS:
        return ""
    everybody = sorted({address.strip().casefold() for address in people if address.strip()})
    content = "\n".join((" ".join(words), *everybody))
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:32]


def conversation_of(root: str, *, place: str) -> UUID:
    """Return the key of the conversation that the message identifier `root` began in `place`.

    Everybody who names the same root comes to the same key, in whatever order the messages are read. A
    message without an identifier begins a conversation that nobody else can name.
    """
    return uuid5(NAMESPACE_URL, f"emailsync:{place}:{root}") if root else uuid4()
