from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from emailsync.mail.composing import Draft
from emailsync.mail.parsing import Address
from mailboxes.choices import LedgerOutcome, OutgoingStatus, Reason
from mailboxes.models import Correspondent, LedgerEntry, Mailbox, Message, OutgoingMessage
from mailboxes.services import outgoing
from profiles.models import EmailSettings, Environment
from tests.mailboxes.keeping.conftest import NOW, MakeMailbox, Store, answer, mail

pytestmark = pytest.mark.django_db


def sent(mailbox: Mailbox, subject: str = "Order of May", **changes: object) -> OutgoingMessage:
    """Return an email to Ben that was queued as people's are."""
    draft = Draft(
        sender=Address("", mailbox.address),
        to=(Address("", "ben@fjord.example"),),
        subject=subject,
        text="Hi",
    )
    found = outgoing.queue(mailbox, draft, by=None, now=NOW)
    OutgoingMessage.objects.filter(pk=found.pk).update(**changes)
    return OutgoingMessage.objects.get(pk=found.pk)


def the_reason(mailbox: Mailbox) -> tuple[str, str]:
    """Return outcome and reason of the last entry in the ledger."""
    entry = LedgerEntry.objects.filter(mailbox=mailbox).latest("pk")
    return entry.outcome, entry.reason


def test_all_mail_is_kept_by_default_and_says_so(mailbox: Mailbox, store: Store) -> None:
    store(mailbox, mail(1))
    assert Message.objects.get().kept_because == Reason.ALL_WANTED
    assert the_reason(mailbox) == (LedgerOutcome.STORED, Reason.ALL_WANTED)


def test_an_answer_joins_the_conversation_of_what_was_sent(mailbox: Mailbox, store: Store) -> None:
    original = sent(mailbox)
    store(mailbox, answer(1, original.message_id))
    message = Message.objects.get()
    assert (message.correlation, message.correlated_with_outgoing) == ("in_reply_to", original)
    assert message.conversation == original.conversation


def test_an_answer_in_the_same_batch_is_correlated_with_what_was_received(
    mailbox: Mailbox, store: Store
) -> None:
    store(mailbox, mail(1), answer(2, "<1@fjord.example>"))
    first, second = Message.objects.order_by("pk")
    assert second.correlated_with == first
    assert second.conversation == first.conversation


def test_an_answer_read_before_its_original_meets_it_in_the_same_conversation(
    mailbox: Mailbox, store: Store
) -> None:
    store(mailbox, answer(2, "<1@fjord.example>"))
    store(mailbox, mail(1))
    assert len(set(Message.objects.values_list("conversation", flat=True))) == 1


def test_environments_share_no_conversation(
    mailbox: Mailbox, make_mailbox: MakeMailbox, store: Store
) -> None:
    other = make_mailbox(Environment.objects.create(slug="other", name="Other"), "ana@contoso.example")
    store(mailbox, mail(1))
    store(other, answer(2, "<1@fjord.example>"))
    ours, theirs = Message.objects.order_by("pk")
    assert ours.conversation != theirs.conversation
    assert theirs.correlation == ""


def test_a_mailbox_that_wants_answers_keeps_one_and_leaves_the_rest(mailbox: Mailbox, store: Store) -> None:
    Mailbox.objects.update(track_incoming="in_response")
    mailbox.track_incoming = "in_response"
    store(mailbox, mail(1), answer(2, sent(mailbox).message_id))
    assert list(LedgerEntry.objects.order_by("uid").values_list("outcome", "reason", "is_to_delete")) == [
        ("not_wanted", "no_correlation_match", False),
        ("stored", "reply", False),
    ]
    assert Message.objects.count() == 1


def test_mail_that_is_not_wanted_is_never_deleted_on_the_server(mailbox: Mailbox, store: Store) -> None:
    mailbox.track_incoming, mailbox.kind, mailbox.delete_after_processing = "in_response", "queue", True
    store(mailbox, mail(1))
    assert not LedgerEntry.objects.get().is_to_delete


def test_a_token_leads_an_answer_home_that_lost_everything_else(mailbox: Mailbox, store: Store) -> None:
    mailbox.track_incoming = "in_response"
    original = sent(mailbox)
    assert original.subject == "Order of May CRM:0001001"
    store(mailbox, mail(1, subject=f"AW: {original.subject}"))
    message = Message.objects.get()
    assert (message.correlation, message.kept_because) == ("tracking_token", "tracking_token")
    assert message.correlated_with_outgoing == original


def test_what_a_message_names_goes_before_the_token_in_its_subject(mailbox: Mailbox, store: Store) -> None:
    named, marked = sent(mailbox), sent(mailbox)
    store(mailbox, answer(1, named.message_id, subject=marked.subject))
    message = Message.objects.get()
    assert (message.correlation, message.correlated_with_outgoing) == ("in_reply_to", named)


def test_in_reply_to_goes_before_references_and_the_nearest_of_those_first(
    mailbox: Mailbox, store: Store
) -> None:
    first, second, third = sent(mailbox), sent(mailbox), sent(mailbox)
    references = f"References: {first.message_id} {second.message_id}\r\n"
    store(mailbox, mail(1, headers=references))
    store(mailbox, mail(2, headers=f"In-Reply-To: {third.message_id}\r\n{references}"))
    answered = Message.objects.order_by("pk").values_list("correlated_with_outgoing", flat=True)
    assert list(answered) == [second.pk, third.pk]


def test_a_token_goes_before_smart_matching(mailbox: Mailbox, store: Store) -> None:
    EmailSettings.objects.update(use_smart_matching=True)
    marked, _alike = sent(mailbox), sent(mailbox)
    store(mailbox, mail(1, subject=f"Re: {marked.subject}"))
    message = Message.objects.get()
    assert (message.correlation, message.correlated_with_outgoing) == ("tracking_token", marked)


def test_message_and_ledger_hold_the_same_reason(mailbox: Mailbox, store: Store) -> None:
    mailbox.track_incoming = "in_response"
    EmailSettings.objects.update(use_smart_matching=True)
    original = sent(mailbox)
    store(
        mailbox,
        answer(1, original.message_id),
        mail(2, subject=f"Re: {original.subject}", sender="eve@fjord.example"),
        mail(3, subject="Re: order of may"),
    )
    reasons = ["reply", "tracking_token", "smart_match"]
    assert list(Message.objects.order_by("pk").values_list("kept_because", flat=True)) == reasons
    assert list(LedgerEntry.objects.order_by("uid").values_list("reason", flat=True)) == reasons


def test_an_answer_written_here_keeps_the_token_it_came_with(mailbox: Mailbox) -> None:
    first = sent(mailbox)
    second = sent(mailbox, f"Re: {first.subject}")
    assert second.subject == "Re: Order of May CRM:0001001"
    assert second.tracking_token == first.tracking_token


def test_each_email_and_each_sender_has_a_token_of_its_own(
    mailbox: Mailbox, environment: Environment, make_mailbox: MakeMailbox
) -> None:
    other = make_mailbox(environment, "carla@contoso.example")
    tokens = [sent(each).tracking_token for each in (mailbox, mailbox, other)]
    assert tokens == ["CRM:0001001", "CRM:0001002", "CRM:0002001"]


def test_without_tracking_tokens_a_subject_stays_as_it_was_written(mailbox: Mailbox) -> None:
    EmailSettings.objects.update(use_tracking_token=False)
    assert sent(mailbox).subject == "Order of May"


def test_without_correlation_no_header_is_believed(mailbox: Mailbox, store: Store) -> None:
    EmailSettings.objects.update(use_correlation=False)
    store(mailbox, answer(1, sent(mailbox).message_id))
    assert Message.objects.get().correlation == ""


def test_smart_matching_finds_the_same_subject_among_the_same_people(mailbox: Mailbox, store: Store) -> None:
    EmailSettings.objects.update(use_smart_matching=True, use_tracking_token=False)
    original = sent(mailbox)
    store(mailbox, mail(1, subject="RE: order of may"))
    message = Message.objects.get()
    assert (message.correlation, message.correlated_with_outgoing) == ("smart_matching", original)


def test_smart_matching_is_off_by_default(mailbox: Mailbox, store: Store) -> None:
    EmailSettings.objects.update(use_tracking_token=False)
    sent(mailbox)
    store(mailbox, mail(1, subject="RE: order of may"))
    assert Message.objects.get().correlation == ""


def test_known_senders_are_those_who_were_written_to(mailbox: Mailbox, store: Store) -> None:
    mailbox.track_incoming = "from_contacts"
    store(mailbox, mail(1))
    before = the_reason(mailbox)
    outgoing.settle(sent(mailbox, status=OutgoingStatus.UNCERTAIN), sent=True, by=None, now=NOW)
    store(mailbox, mail(2, sender="Ben <BEN@fjord.example>"))
    assert before == ("not_wanted", "unknown_sender")
    assert the_reason(mailbox) == ("stored", "known_sender")
    assert Correspondent.objects.get().address == "ben@fjord.example"


def test_email_enabled_senders_are_mailboxes_of_the_environment(
    mailbox: Mailbox, environment: Environment, make_mailbox: MakeMailbox, store: Store
) -> None:
    mailbox.track_incoming = "from_enabled"
    make_mailbox(environment, "Carla@contoso.example")
    store(mailbox, mail(1), mail(2, sender="carla@contoso.example"))
    assert list(LedgerEntry.objects.order_by("uid").values_list("outcome", "reason")) == [
        ("not_wanted", "sender_not_enabled"),
        ("stored", "email_enabled_sender"),
    ]


def test_a_batch_costs_the_same_queries_whatever_its_size(mailbox: Mailbox, store: Store) -> None:
    mailbox.track_incoming = "in_response"
    EmailSettings.objects.update(use_smart_matching=True)
    original = sent(mailbox)
    store(mailbox, mail(1))

    def queries(first: int, count: int) -> int:
        contents = [answer(number, original.message_id) for number in range(first, first + count)]
        with CaptureQueriesContext(connection) as captured:
            store(mailbox, *contents)
        return len(captured)

    assert queries(100, 2) == queries(200, 30)


def test_attachments_too_large_or_of_a_blocked_type_are_marked(mailbox: Mailbox, store: Store) -> None:
    EmailSettings.objects.update(maximum_attachment_kb=1)
    parts = "".join(
        f'--x\r\nContent-Type: application/zip; name="{name}"\r\n\r\n{"A" * size}\r\n'
        for name, size in (("fine.zip", 10), ("large.zip", 2000), ("virus.EXE.", 10))
    )
    content = mail(1, headers='MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="x"\r\n')
    store(mailbox, content + f"{parts}--x--\r\n".encode())
    marks = Message.objects.get().attachments.values_list("filename", "is_blocked", "blocked_because")
    assert list(marks) == [
        ("fine.zip", False, ""),
        ("large.zip", True, "size"),
        ("virus.EXE.", True, "type"),
    ]


def test_what_was_too_old_is_accounted_for_anew_when_it_is_read_again(mailbox: Mailbox, store: Store) -> None:
    LedgerEntry.objects.create(
        mailbox=mailbox, uidvalidity=1, uid=7, outcome="before_start", seen_on=NOW - timedelta(days=1)
    )
    store(mailbox, mail(1), uids=(7,))
    assert the_reason(mailbox) == ("stored", "all_wanted")
    assert LedgerEntry.objects.count() == 1
