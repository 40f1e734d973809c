from datetime import timedelta

import pytest

from mailboxes.choices import AddressStatus, Direction
from mailboxes.engine import eligibility
from mailboxes.models import LedgerEntry, Mailbox, Message, WorkerState
from profiles.models import EmailSettings
from tests.mailboxes.keeping.conftest import NOW, Store, answer, forwarded, mail

pytestmark = pytest.mark.django_db


def test_attached_mail_goes_byte_for_byte_to_whose_rule_forwarded_it(
    forward: Mailbox, fed: Mailbox, store: Store
) -> None:
    inner = mail(1, to="somebody@else.example")
    saved = store(forward, forwarded(inner))
    given = Message.objects.get(mailbox=fed)
    outer = Message.objects.get(mailbox=forward)
    assert bytes(given.raw.content or b"") == inner
    assert (given.forwarded_in, given.subject, given.kept_because) == (outer, "Order of May", "all_wanted")
    entry = LedgerEntry.objects.get(mailbox=fed)
    assert (entry.origin, entry.message, entry.outcome) == (outer, given, "stored")
    assert (saved.stored, saved.unmatched) == (1, [])


def test_a_forwarder_who_is_no_mailbox_leaves_it_to_the_addresses_inside(
    forward: Mailbox, fed: Mailbox, store: Store
) -> None:
    inside = mail(1, to="list@else.example", headers="Delivered-To: Fred@contoso.example\r\n")
    store(forward, forwarded(inside, sender="rules@else.example"))
    assert Message.objects.filter(mailbox=fed).count() == 1


def test_the_same_attachment_read_again_is_given_once(forward: Mailbox, fed: Mailbox, store: Store) -> None:
    outer = forwarded(mail(1), mail(2))
    store(forward, outer)
    store(forward, outer)
    LedgerEntry.objects.filter(mailbox=forward).delete()
    Message.objects.filter(mailbox=forward).delete()
    store(forward, outer)
    assert Message.objects.filter(mailbox=fed).count() == 2
    assert LedgerEntry.objects.filter(mailbox=fed).count() == 2


def test_mail_forwarded_twice_is_noted_as_a_duplicate(forward: Mailbox, fed: Mailbox, store: Store) -> None:
    store(forward, forwarded(mail(1)), forwarded(mail(1), mail(2)))
    outcomes = LedgerEntry.objects.filter(mailbox=fed).order_by("pk").values_list("outcome", flat=True)
    assert list(outcomes) == ["stored", "duplicate", "stored"]


@pytest.mark.parametrize(
    "changes",
    [
        {"is_active": False},
        {"incoming": "server_side_synchronization"},
        {"address_status": AddressStatus.PENDING, "approved_on": None},
    ],
)
def test_a_mailbox_that_may_not_receive_is_given_nothing(
    forward: Mailbox, fed: Mailbox, store: Store, changes: dict[str, object]
) -> None:
    Mailbox.objects.filter(pk=fed.pk).update(**changes)
    saved = store(forward, forwarded(mail(1)))
    assert saved.unmatched == [(1, "forward_for_nobody")]
    assert Message.objects.get().mailbox == forward


def test_approval_is_not_asked_for_where_the_settings_do_not(
    forward: Mailbox, fed: Mailbox, store: Store
) -> None:
    EmailSettings.objects.update(process_only_approved_users=False)
    Mailbox.objects.filter(pk=fed.pk).update(address_status=AddressStatus.PENDING, approved_on=None)
    store(forward, forwarded(mail(1)))
    assert Message.objects.filter(mailbox=fed).exists()


def test_mail_without_an_attached_message_stays_and_is_told_of(
    forward: Mailbox, fed: Mailbox, store: Store
) -> None:
    assert store(forward, mail(1)).unmatched == [(1, "forward_without_attachment")]
    assert Message.objects.get().mailbox == forward


def test_the_mailbox_it_is_for_decides_what_it_keeps(forward: Mailbox, fed: Mailbox, store: Store) -> None:
    Mailbox.objects.filter(pk=fed.pk).update(track_incoming="in_response")
    store(forward, forwarded(mail(1)), forwarded(answer(2, "<1@fjord.example>")))
    Mailbox.objects.filter(pk=fed.pk).update(process_email_from=NOW + timedelta(days=1))
    store(forward, forwarded(mail(3)))
    entries = LedgerEntry.objects.filter(mailbox=fed).order_by("pk").values_list("outcome", "reason")
    assert list(entries) == [
        ("not_wanted", "no_correlation_match"),
        ("not_wanted", "no_correlation_match"),
        ("before_start", "before_start_date"),
    ]


def test_a_mailbox_fed_by_forwarding_works_when_a_forward_mailbox_does(
    forward: Mailbox, fed: Mailbox
) -> None:
    Mailbox.objects.filter(pk=fed.pk).update(server_profile=None)
    fed.refresh_from_db()
    assert eligibility.blockers(fed, Direction.INCOMING) == []
    WorkerState.objects.filter(mailbox=forward).update(is_enabled=False)
    assert [each.code for each in eligibility.blockers(fed, Direction.INCOMING)] == [
        "forward_mailbox_missing"
    ]
