"""Whose option keeps a message: that of the mailbox read, else that of the first recipient to accept it."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mailboxes.choices import AddressStatus, MailboxKind, TrackIncoming
from mailboxes.engine.tracking import RESOLVED
from mailboxes.models import Correspondent, LedgerEntry, Mailbox, Message
from mailboxes.services import editing
from profiles.choices import IncomingMethod, Role
from profiles.models import EmailSettings, Environment, Membership
from tests.mailboxes.keeping.conftest import NOW, MakeMailbox, Store, forwarded, mail

pytestmark = pytest.mark.django_db
BOTH = "ana@contoso.example, Support@Contoso.example"


@pytest.fixture
def mailbox(mailbox: Mailbox) -> Mailbox:
    """Give a mailbox that wants answers only."""
    mailbox.track_incoming = TrackIncoming.IN_RESPONSE
    mailbox.save()
    return mailbox


@pytest.fixture
def support(environment: Environment, make_mailbox: MakeMailbox) -> Mailbox:
    """Give a queue of the same environment that wants everything."""
    return make_mailbox(environment, "support@contoso.example", name="Support", kind=MailboxKind.QUEUE)


def decided(mailbox: Mailbox) -> list[tuple[str, str]]:
    """Return outcome and reason of all that the ledger knows, the first first."""
    return list(LedgerEntry.objects.filter(mailbox=mailbox).order_by("pk").values_list("outcome", "reason"))


def test_the_option_of_another_recipient_keeps_what_that_of_the_mailbox_read_refuses(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    store(mailbox, mail(1, to=BOTH))
    message = Message.objects.get()
    assert (message.mailbox, message.accepted_by) == (mailbox, support)
    assert message.kept_because == "all_wanted"
    assert decided(mailbox) == [("stored", "all_wanted")]


def test_the_mailbox_read_is_asked_first(mailbox: Mailbox, support: Mailbox, store: Store) -> None:
    store(support, mail(1, to=BOTH))
    store(mailbox, mail(2, to=BOTH, headers="In-Reply-To: <1@fjord.example>\r\n"))
    assert [
        (each.mailbox, each.kept_because) for each in Message.objects.filter(accepted_by=None).order_by("pk")
    ] == [
        (support, "all_wanted"),
        (mailbox, "reply"),
    ]


@pytest.mark.parametrize("header", ["Cc", "Bcc"])
def test_recipients_of_copies_are_asked_as_far_as_they_are_visible(
    mailbox: Mailbox, support: Mailbox, store: Store, header: str
) -> None:
    store(mailbox, mail(1, headers=f"{header}: support@contoso.example\r\n"))
    assert Message.objects.get().accepted_by == support


def test_the_first_acceptor_in_the_order_of_the_headers_is_noted(
    mailbox: Mailbox, support: Mailbox, environment: Environment, make_mailbox: MakeMailbox, store: Store
) -> None:
    first = make_mailbox(environment, "first@contoso.example")
    refusing = make_mailbox(environment, "no@contoso.example", track_incoming="from_contacts")
    people = f"ana@contoso.example, {refusing.address}, {first.address}, {support.address}"
    store(mailbox, mail(1, to=people))
    assert Message.objects.get().accepted_by == first


def test_each_recipient_is_asked_by_an_option_of_its_own(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    Mailbox.objects.filter(pk=support.pk).update(track_incoming="from_contacts")
    Correspondent.objects.create(environment=mailbox.environment, address="ben@fjord.example", written_on=NOW)
    store(mailbox, mail(1, to=BOTH), mail(2, to=BOTH, sender="eve@fjord.example"))
    assert decided(mailbox) == [("stored", "known_sender"), ("not_wanted", "no_correlation_match")]


def test_what_no_recipient_accepts_is_refused_for_the_reason_of_the_mailbox_read(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    Mailbox.objects.filter(pk=support.pk).update(track_incoming="from_enabled")
    store(mailbox, mail(1, to=BOTH))
    assert decided(mailbox) == [("not_wanted", "no_correlation_match")]


def test_mail_that_does_not_name_the_other_mailbox_is_none_of_its_business(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    store(mailbox, mail(1))
    assert decided(mailbox) == [("not_wanted", "no_correlation_match")]


def test_a_mailbox_that_wants_nothing_keeps_what_another_recipient_wants(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    mailbox.track_incoming = TrackIncoming.NONE
    store(mailbox, mail(1, to=BOTH), mail(2))
    assert decided(mailbox) == [("stored", "all_wanted"), ("not_wanted", "nothing_wanted")]


@pytest.mark.parametrize(
    "changes",
    [
        {"is_active": False},
        {"address_status": AddressStatus.PENDING, "approved_on": None},
        {"incoming": IncomingMethod.NONE},
        {"track_incoming": TrackIncoming.NONE},
    ],
)
def test_a_mailbox_that_receives_nothing_here_has_no_say(
    mailbox: Mailbox, support: Mailbox, store: Store, changes: dict[str, object]
) -> None:
    Mailbox.objects.filter(pk=support.pk).update(**changes)
    store(mailbox, mail(1, to=BOTH))
    assert decided(mailbox) == [("not_wanted", "no_correlation_match")]


def test_where_no_approval_is_asked_for_none_is_needed_to_accept(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    EmailSettings.objects.update(process_only_approved_queues=False)
    Mailbox.objects.filter(pk=support.pk).update(address_status=AddressStatus.PENDING, approved_on=None)
    store(mailbox, mail(1, to=BOTH))
    assert Message.objects.get().accepted_by == support


def test_a_mailbox_of_another_environment_has_no_say(
    mailbox: Mailbox, make_mailbox: MakeMailbox, store: Store
) -> None:
    make_mailbox(Environment.objects.create(slug="other", name="Other"), "support@contoso.example")
    store(mailbox, mail(1, to=BOTH))
    assert decided(mailbox) == [("not_wanted", "no_correlation_match")]


def test_a_forward_mailbox_accepts_nothing_for_others(
    mailbox: Mailbox, forward: Mailbox, store: Store
) -> None:
    store(mailbox, mail(1, to=f"ana@contoso.example, {forward.address}"))
    assert decided(mailbox) == [("not_wanted", "no_correlation_match")]


def test_what_a_forward_mailbox_hands_on_is_kept_for_another_recipient_too(
    forward: Mailbox, fed: Mailbox, support: Mailbox, store: Store
) -> None:
    Mailbox.objects.filter(pk=fed.pk).update(track_incoming="in_response")
    store(forward, forwarded(mail(1, to=f"{fed.address}, {support.address}")))
    assert Message.objects.get(mailbox=fed).accepted_by == support


def test_of_a_message_to_very_many_only_the_first_are_looked_up(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    crowd = ", ".join(f"p{number}@else.example" for number in range(RESOLVED))
    store(mailbox, mail(1, to=f"{crowd}, {support.address}"))
    assert decided(mailbox) == [("not_wanted", "no_correlation_match")]


def test_asking_the_recipients_costs_one_query_a_batch(
    mailbox: Mailbox, support: Mailbox, store: Store
) -> None:
    def queries(option: TrackIncoming, first: int, count: int) -> int:
        mailbox.track_incoming = option
        contents = [
            mail(number, to=f"ana@contoso.example, p{number}@else.example, {support.address}")
            for number in range(first, first + count)
        ]
        with CaptureQueriesContext(connection) as captured:
            store(mailbox, *contents)
        return len(captured)

    few = queries(TrackIncoming.IN_RESPONSE, 100, 2)
    assert queries(TrackIncoming.IN_RESPONSE, 200, 30) == few
    assert queries(TrackIncoming.ALL, 300, 30) == few - 1


@pytest.fixture
def page(client: Client, ada: User, mailbox: Mailbox, support: Mailbox, store: Store) -> str:
    """Give the address of a message that the option of another recipient kept."""
    store(mailbox, mail(1, to=BOTH))
    client.force_login(ada)
    return reverse("mailboxes:message_detail", args=["contoso", mailbox.pk, Message.objects.get().pk])


def test_the_message_page_names_the_accepting_entity_and_the_receiving_mailbox(
    client: Client, support: Mailbox, page: str
) -> None:
    seen = client.get(page)
    accepting = seen.context["accepting"]
    address = reverse("mailboxes:mailbox_detail", args=["contoso", support.pk])
    assert (accepting.name, accepting.url) == ("Support", address)
    assert "Its option is “All email messages”" in seen.content.decode()
    assert "<dt>Receiving Mailbox</dt><dd>ana@contoso.example</dd>" in seen.content.decode()


def test_usually_the_accepting_entity_is_the_mailbox_read(
    client: Client, mailbox: Mailbox, page: str
) -> None:
    Message.objects.update(accepted_by=None)
    assert client.get(page).context["accepting"].name == mailbox.name


def test_who_may_not_see_the_accepting_mailbox_does_not_learn_its_name(
    client: Client, mailbox: Mailbox, page: str
) -> None:
    mia = User.objects.create_user("mia")
    Membership.objects.create(user=mia, environment=mailbox.environment, role=Role.MEMBER)
    Mailbox.objects.filter(pk=mailbox.pk).update(owner=mia)
    client.force_login(mia)
    accepting = client.get(page).context["accepting"]
    assert (accepting.name, accepting.url) == ("the mailbox of another recipient, which you may not see", "")


def test_a_deleted_mailbox_is_still_said_to_have_accepted(
    client: Client, support: Mailbox, page: str
) -> None:
    editing.delete(support, by=None, now=NOW)
    assert client.get(page).context["accepting"].name == "a mailbox that has been deleted"


def test_mail_that_another_recipient_kept_can_be_listed(client: Client, mailbox: Mailbox, page: str) -> None:
    Message.objects.create(mailbox=mailbox, received_at=NOW, stored_on=NOW, size=1, sha256="1" * 64)
    listed = client.get(reverse("mailboxes:environment_emails", args=["contoso"]), {"kept": "by_another"})
    assert [row.subject for row in listed.context["listing"].rows] == ["Order of May"]
