"""Addresses of the records of a list."""

from uuid import UUID

from emailsync.web.addresses import pattern


def test_a_row_has_the_address_of_its_record() -> None:
    url = pattern("mailboxes:message_detail", "contoso", UUID, int)
    assert url.format(UUID(int=7), 3) == f"/environments/contoso/mailboxes/{UUID(int=7)}/emails/received/3/"


def test_an_environment_called_like_a_blank_keeps_its_name() -> None:
    first = pattern("mailboxes:job_detail", f"{10**18}", int)
    other = pattern("mailboxes:message_detail", f"{UUID(int=10**18)}", UUID, int)
    assert first == f"/environments/{10**18}/jobs/{{}}/"
    assert other == f"/environments/{UUID(int=10**18)}/mailboxes/{{}}/emails/received/{{}}/"
