"""Addresses of the records of a list: asking the resolver for one costs more than drawing its row.

    urls = pattern("mailboxes:message_detail", slug, UUID, int)
    urls.format(mailbox.pk, message.pk)

In templates the filter `at` does that.
"""

from uuid import UUID

from django.urls import reverse

#: What stands for the key of any record; no address has it in another place.
BLANKS: dict[object, object] = {UUID: UUID(int=0), int: 10**18 - 1}


def pattern(name: str, *args: object) -> str:
    """Return the address `name` with a {} for each of `args` that is a type, to be formatted for each row."""
    url = reverse(name, args=[BLANKS.get(arg, arg) for arg in args])
    for blank in BLANKS.values():
        url = url.replace(str(blank), "{}")
    return url
