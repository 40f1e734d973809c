"""Commands and replies of SMTP on one bounded connection (RFC 5321, sections 4.1 and 4.2)."""

import re
from typing import NamedTuple

from emailsync.mail.connection import Connection
from emailsync.mail.errors import ConnectionLost

REPLY_LINE = 8 * 1024
REPLY_LIMIT = 64 * 1024
#: How servers wrote it before RFC 2554, and some write it still, beside the right form.
OLD_AUTH = re.compile(r"AUTH=(.*)", re.IGNORECASE)


class Reply(NamedTuple):
    """Hold what the server said: code -1 when it was not SMTP, and its words, fit to be shown."""

    code: int
    text: str

    @property
    def refuses(self) -> bool:
        """Say whether this is a refusal, for now or for good."""
        return 400 <= self.code < 600

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class SmtpDialogue:
    """Say lines, several at once where that is allowed, and read the replies in their order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.hello = ""
        #: The extensions that the server offers, in capitals, with their parameters.
        self.extensions: dict[str, str] = {}

    def say(self, *lines: str, hidden: bool = False) -> None:
        """Send lines in one go. What is `hidden` stays out of the transcript."""
        for line in lines:
            self._connection.note_client("•••" if hidden else line)
        self._connection.send("".join(f"{line}\r\n" for line in lines).encode())

    def ask(self, command: str, argument: str = "", *, hidden: bool = False) -> Reply:
        """Give a command and return the reply."""
        self.say(f"{command} {argument}" if argument else command, hidden=hidden)
        return self.reply()

    def reply(self) -> Reply:
        """Read the reply to a command that is on its way, whatever number of lines it has."""
        code, lines = self._lines()
        return Reply(code, self._connection.clean(b" ".join(lines)))

    def _lines(self) -> tuple[int, list[bytes]]:
        begins = self._connection.received - self._connection.buffered
        texts: list[bytes] = []
        while True:
            line = self._connection.read_line(REPLY_LINE)
            if not line:
                self._connection.close()
                raise ConnectionLost("The server closed the connection.")
            if self._connection.received - self._connection.buffered - begins > REPLY_LIMIT:
                raise self._connection.broken("The server does not end its answer.")
            self._connection.note_server(line)
            if not line[:3].isdigit():
                return -1, [*texts, line.strip()]
            texts.append(line[4:].strip())
            if line[3:4] != b"-":
                return int(line[:3]), texts

    def introduce(self, name: str) -> Reply:
        """Say EHLO, and HELO to a server that does not know it, and learn what the server can do."""
        self.extensions = {}
        self.say(f"EHLO {name}")
        code, lines = self._lines()
        # Not for lack of time: only a server that does not know EHLO gets the older greeting.
        if code >= 500:
            return self.ask("HELO", name)
        if code == 250:
            for line in lines[1:]:
                self._learn(line.decode("utf-8", "replace"))
        return Reply(code, self._connection.clean(b" ".join(lines)))

    def _learn(self, line: str) -> None:
        if (old := OLD_AUTH.match(line)) is not None:
            line = f"AUTH {self.extensions.get('AUTH', '')} {old.group(1)}"
        keyword, _, parameters = line.partition(" ")
        known = self.extensions.get("AUTH", "") if keyword.upper() == "AUTH" else ""
        self.extensions[keyword.upper()] = f"{known} {parameters}".strip()
