"""What machines send is told from what people write."""

import pytest

from emailsync.mail.automatic import AUTOMATIC_HEADERS, HOPS_LIMIT, Automatic, automatic_kind


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("Auto-Submitted", "auto-replied", Automatic.REPLY),
        ("AUTO-SUBMITTED", 'auto-replied; owner-email="a@b"', Automatic.REPLY),
        ("Auto-Submitted", "auto-generated", Automatic.GENERATED),
        ("Auto-Submitted", "auto-notified", Automatic.GENERATED),
        ("Auto-Submitted", "no", Automatic.NONE),
        ("Auto-Submitted", "No ; comment", Automatic.NONE),
        ("Auto-Submitted", "", Automatic.NONE),
        ("Precedence", "bulk", Automatic.LIST),
        ("Precedence", "Auto_Reply", Automatic.REPLY),
        ("Precedence", "first-class", Automatic.NONE),
        ("List-Id", "<news.example.org>", Automatic.LIST),
        ("List-Unsubscribe", "<mailto:x@example.org>", Automatic.LIST),
        ("X-Autoreply", "yes", Automatic.REPLY),
        ("X-Autoreply", "no", Automatic.NONE),
        ("X-Auto-Response-Suppress", "OOF, AutoReply", Automatic.GENERATED),
        ("X-Auto-Response-Suppress", "None", Automatic.NONE),
        ("Return-Path", "<>", Automatic.GENERATED),
        ("Return-Path", "<ann@example.com>", Automatic.NONE),
        ("Content-Type", "multipart/report; report-type=delivery-status", Automatic.REPORT),
        ("Subject", "auto-replied", Automatic.NONE),
    ],
)
def test_a_header_tells_who_sent_a_message(name: str, value: str, kind: Automatic) -> None:
    assert automatic_kind([("From", "a@example.org"), (name, value)]) is kind


def test_the_particular_counts_before_the_general() -> None:
    headers = [("Return-Path", "<>"), ("Precedence", "bulk"), ("Auto-Submitted", "auto-replied")]
    assert automatic_kind(headers) is Automatic.REPLY


def test_a_message_that_passed_too_many_servers_goes_round_in_a_circle() -> None:
    hops = [("Received", f"from {number}") for number in range(HOPS_LIMIT)]
    assert automatic_kind(hops) is Automatic.NONE
    assert automatic_kind([*hops, ("Received", "from here")]) is Automatic.LOOP


def test_what_we_put_on_our_own_automatic_mail_says_so() -> None:
    assert automatic_kind(AUTOMATIC_HEADERS) is Automatic.GENERATED
