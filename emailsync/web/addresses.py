"""Addresses of the records of a list: asking the resolver for one costs more than drawing its row.

    urls = pattern("mailboxes:message_detail", slug, UUID, int)
    urls.format(mailbox.pk, message.pk)

In templates the filter `at` does that.
"""

from itertools import count
from uuid import UUID

from django.urls import reverse


def pattern(name: str, *args: object) -> str:
    """Return the address `name` with a {} for each of `args` that is a type, to be formatted for each row."""
    said = "/".join(str(arg) for arg in args)
    # What stands for the key of any record must not be in the address in another place.
    blanks: dict[object, object] = next(
        {UUID: UUID(int=number), int: number}
        for number in count(10**18)
        if str(number) not in said and str(UUID(int=number)) not in said
    )
    url = reverse(name, args=[blanks.get(arg, arg) for arg in args])
    for blank in blanks.values():
        url = url.replace(str(blank), "{}")
    return url
