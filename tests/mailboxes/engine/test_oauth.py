"""Signing in with OAuth: a real authorization server, Dovecot and Postfix that ask it."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db import connection as database
from django.utils import timezone

from emailsync.mail import auth
from emailsync.mail.endpoint import Protocol
from emailsync.mail.errors import AuthorizationBusy, ClientRefused, GrantExpired, GrantMissing
from emailsync.mail.registry import INCOMING
from mailboxes.choices import ResultStatus
from mailboxes.engine import authorizing, connecting, diagnosing, scheduling
from mailboxes.models import Alert, Mailbox, Message, OAuthToken, OAuthVisit, WorkerState
from mailboxes.services import authorization as services
from mailboxes.services import diagnosis
from profiles.choices import AuthenticationType, IncomingProtocol, OAuthGrant
from profiles.models import ServerProfile
from tests.conftest import Account
from tests.servers.authorization import CLIENT_ID, CLIENT_SECRET, SCOPES, AuthorizationServer
from tests.servers.dovecot import Dovecot
from tests.servers.postfix import Postfix

pytestmark = [pytest.mark.servers, pytest.mark.django_db(transaction=True)]
Receive = Callable[[Mailbox], WorkerState]
CALLBACK = "https://console.example.org/oauth/callback/"
LETTER = b"From: ben@example.org\r\nSubject: By token\r\n\r\nHello\r\n"


@pytest.fixture
def person(oauth_dovecot: Dovecot, account: Account) -> Account:
    """Give somebody known to the Dovecot that takes access tokens."""
    oauth_dovecot.add_user(account.user_name, account.password, addresses=[account.address])
    return account


@pytest.fixture
def oauth_mailbox(
    mailbox: Mailbox,
    person: Account,
    oauth_dovecot: Dovecot,
    authorization: AuthorizationServer,
) -> Mailbox:
    """Give a mailbox of a mere member, whose profile signs in with OAuth."""
    profile = mailbox.server_profile
    assert profile is not None
    profile.incoming_port = oauth_dovecot.ports.imaps
    profile.authentication_type = AuthenticationType.OAUTH
    profile.oauth_authorization_url = f"{authorization.url}/authorize"
    profile.oauth_token_url = f"{authorization.url}/token"
    profile.oauth_client_id = CLIENT_ID
    profile.oauth_client_secret = CLIENT_SECRET
    profile.oauth_scopes = SCOPES
    profile.save()
    return Mailbox.objects.get(pk=mailbox.pk)


@pytest.fixture
def connect(authorization: AuthorizationServer, owner: User) -> Callable[[Mailbox], OAuthToken]:
    """Give a function that sends the owner of a mailbox to the provider and exchanges what they bring."""

    def run(mailbox: Mailbox) -> OAuthToken:
        go_and_come_back(mailbox, authorization, owner)
        authorizing.exchange(str(OAuthVisit.objects.get().pk))
        return OAuthToken.objects.get(mailbox=mailbox)

    return run


def go_and_come_back(mailbox: Mailbox, authorization: AuthorizationServer, owner: User) -> None:
    """Send the owner to the provider, have them agree and come back with a code."""
    url, state = services.begin(mailbox, by=owner, redirect_uri=CALLBACK, now=timezone.now())
    brought = authorization.agree(url)
    assert brought["state"] == state
    services.come_back(brought["state"], by=owner, code=brought["code"], error="", now=timezone.now())


@pytest.fixture
def visited(oauth_mailbox: Mailbox, authorization: AuthorizationServer, owner: User) -> OAuthVisit:
    """Give a visit whose code is to be exchanged."""
    go_and_come_back(oauth_mailbox, authorization, owner)
    return OAuthVisit.objects.get()


Connect = Callable[[Mailbox], OAuthToken]


def expire(token: OAuthToken) -> None:
    """Let an access token have ended."""
    OAuthToken.objects.filter(pk=token.pk).update(
        access_expires_on=timezone.now() - timedelta(minutes=1),
        refreshed_on=timezone.now() - timedelta(hours=1),
    )


def over_pop3(server: Dovecot) -> None:
    """Have the profile receive over POP3."""
    ServerProfile.objects.update(incoming_protocol=IncomingProtocol.POP3, incoming_port=server.ports.pop3s)


def test_a_person_connects_the_mailbox_and_its_mail_arrives(
    oauth_mailbox: Mailbox, person: Account, oauth_dovecot: Dovecot, connect: Connect, receive: Receive
) -> None:
    oauth_dovecot.deliver(person.user_name, LETTER)
    connect(oauth_mailbox)
    assert receive(oauth_mailbox).last_items == 1
    assert Message.objects.get().subject == "By token"


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_dovecot_takes_both_mechanisms(
    oauth_mailbox: Mailbox, connect: Connect, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    connect(oauth_mailbox)
    who = connecting.credential(oauth_mailbox, "incoming")
    object.__setattr__(who, "mechanisms", (mechanism,))
    monkeypatch.setattr(connecting, "credential", lambda *_: who)
    with connecting.open_incoming(oauth_mailbox, seconds=connecting.PROBE_SECONDS) as client:
        assert client.status().messages == 0


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_mail_arrives_over_pop3_with_the_token(
    oauth_mailbox: Mailbox,
    person: Account,
    oauth_dovecot: Dovecot,
    connect: Connect,
    receive: Receive,
    monkeypatch: pytest.MonkeyPatch,
    mechanism: str,
) -> None:
    monkeypatch.setattr(auth.BearerToken, "mechanisms", (mechanism,))
    over_pop3(oauth_dovecot)
    oauth_dovecot.deliver(person.user_name, LETTER)
    connect(oauth_mailbox)
    assert receive(Mailbox.objects.get(pk=oauth_mailbox.pk)).last_items == 1
    assert Message.objects.get().subject == "By token"


def test_a_token_that_is_refused_over_pop3_is_renewed_once(
    oauth_mailbox: Mailbox,
    oauth_dovecot: Dovecot,
    connect: Connect,
    receive: Receive,
    authorization: AuthorizationServer,
) -> None:
    over_pop3(oauth_dovecot)
    token = connect(oauth_mailbox)
    OAuthToken.objects.filter(pk=token.pk).update(refreshed_on=timezone.now() - timedelta(hours=1))
    authorization.memory.access.clear()
    assert receive(Mailbox.objects.get(pk=oauth_mailbox.pk)).last_error_code == ""
    assert authorization.asked == ["authorization_code", "refresh_token"]


def test_a_permission_withdrawn_over_pop3_stops_the_mailbox(
    oauth_mailbox: Mailbox,
    oauth_dovecot: Dovecot,
    connect: Connect,
    receive: Receive,
    authorization: AuthorizationServer,
) -> None:
    over_pop3(oauth_dovecot)
    expire(connect(oauth_mailbox))
    authorization.memory.refresh.clear()
    state = receive(Mailbox.objects.get(pk=oauth_mailbox.pk))
    assert (state.is_enabled, state.last_error_code) == (False, "oauth_expired")


def test_mail_is_sent_with_the_token_through_postfix(
    oauth_mailbox: Mailbox, oauth_postfix: Postfix, connect: Connect, person: Account
) -> None:
    ServerProfile.objects.update(outgoing_port=oauth_postfix.ports.smtps)
    mailbox = Mailbox.objects.get(pk=oauth_mailbox.pk)
    connect(mailbox)
    with connecting.open_outgoing(mailbox, seconds=connecting.PROBE_SECONDS) as client:
        result = client.send(
            sender=person.address, recipients=[person.address], content=LETTER, before_body=lambda: None
        )
    assert result.accepted == (person.address,)


def test_the_code_is_forgotten_and_no_secret_is_in_plain_text(
    oauth_mailbox: Mailbox, connect: Connect
) -> None:
    token = connect(oauth_mailbox)
    visit = OAuthVisit.objects.get()
    assert not visit.code
    assert not visit.verifier
    with database.cursor() as cursor:
        cursor.execute("SELECT access_token, refresh_token FROM mailboxes_oauthtoken")
        stored = "".join(cursor.fetchone())
    assert token.access_token.reveal() not in stored
    assert token.refresh_token.reveal() not in stored
    assert token.access_token.reveal() not in repr(vars(token))


def test_a_mailbox_that_nobody_connected_says_so(oauth_mailbox: Mailbox) -> None:
    with pytest.raises(GrantMissing):
        connecting.credential(oauth_mailbox, "incoming")


def test_an_access_token_that_ended_is_renewed_and_the_refresh_token_rotated(
    oauth_mailbox: Mailbox, connect: Connect, receive: Receive, authorization: AuthorizationServer
) -> None:
    before = connect(oauth_mailbox)
    expire(before)
    assert receive(oauth_mailbox).last_error_code == ""
    after = OAuthToken.objects.get()
    assert authorization.asked == ["authorization_code", "refresh_token"]
    assert after.refresh_token.reveal() != before.refresh_token.reveal()
    assert after.refresh_token.reveal() in authorization.memory.refresh


def test_the_rotated_refresh_token_is_stored_before_the_access_token_is_used(
    oauth_mailbox: Mailbox,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    authorization: AuthorizationServer,
) -> None:
    expire(connect(oauth_mailbox))
    stored: list[str] = []

    def opener(*_: object) -> None:
        stored.append(OAuthToken.objects.get().refresh_token.reveal())
        raise RuntimeError

    monkeypatch.setitem(INCOMING, Protocol.IMAP, opener)
    with (
        pytest.raises(RuntimeError),
        connecting.open_incoming(oauth_mailbox, seconds=connecting.PROBE_SECONDS),
    ):
        pass
    assert stored == list(authorization.memory.refresh)


def test_of_many_workers_one_renews_and_the_others_wait_for_it(
    oauth_mailbox: Mailbox, connect: Connect, authorization: AuthorizationServer
) -> None:
    expire(connect(oauth_mailbox))
    found: list[str] = []
    all_here = threading.Barrier(6)

    def work() -> None:
        try:
            mailbox = Mailbox.objects.select_related("server_profile").get(pk=oauth_mailbox.pk)
            all_here.wait(10)
            assert mailbox.server_profile is not None
            found.append(authorizing.access_token(mailbox, mailbox.server_profile))
        finally:
            database.close()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert authorization.asked.count("refresh_token") == 1
    assert len(found) == 6
    assert len(set(found)) == 1


def test_a_withdrawn_permission_stops_the_mailbox_and_asks_to_reconnect(
    oauth_mailbox: Mailbox, connect: Connect, receive: Receive, authorization: AuthorizationServer
) -> None:
    expire(connect(oauth_mailbox))
    authorization.memory.refresh.clear()
    state = receive(oauth_mailbox)
    assert (state.is_enabled, state.status) == (False, ResultStatus.FAILURE)
    assert state.last_error_code == "oauth_expired"
    alert = Alert.objects.get(kind="incoming_stopped")
    assert "Reconnect" in alert.parameters["remedy"]
    with pytest.raises(GrantExpired):
        connecting.credential(oauth_mailbox, "incoming")
    assert authorization.asked.count("refresh_token") == 1


def test_a_renewal_is_stored_though_the_database_is_away_for_a_moment(
    oauth_mailbox: Mailbox,
    connect: Connect,
    receive: Receive,
    authorization: AuthorizationServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expire(connect(oauth_mailbox))
    keep, failures = authorizing._keep, [OperationalError("the server closed the connection")]

    def keep_or_fail(*args: Any, **kwargs: Any) -> None:
        if failures:
            raise failures.pop()
        keep(*args, **kwargs)

    monkeypatch.setattr(authorizing, "_keep", keep_or_fail)
    monkeypatch.setattr(scheduling, "INSIST_PAUSE", 0.01)
    assert receive(oauth_mailbox).last_error_code == ""
    assert OAuthToken.objects.get().refresh_token.reveal() in authorization.memory.refresh


@pytest.fixture
def lost(oauth_mailbox: Mailbox, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> OAuthToken:
    """Give a token whose renewal the provider answered to a worker that died before it could store it."""
    token = connect(oauth_mailbox)
    expire(token)

    def die(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(authorizing, "_keep", die)
        with pytest.raises(SystemExit):
            connecting.credential(oauth_mailbox, "incoming")
    return token


def test_a_permission_lost_with_a_worker_is_told_with_its_reason_and_asked_for_once(
    lost: OAuthToken, oauth_mailbox: Mailbox, receive: Receive, authorization: AuthorizationServer
) -> None:
    receive(oauth_mailbox)
    receive(oauth_mailbox)
    alert = Alert.objects.open().get(kind="incoming_stopped")
    assert "the renewal before" in str(alert.parameters)
    assert "Reconnect" in alert.parameters["remedy"]
    assert authorization.asked.count("refresh_token") == 2


def test_a_provider_that_takes_the_same_token_again_mends_a_lost_answer(
    lost: OAuthToken, oauth_mailbox: Mailbox, receive: Receive, authorization: AuthorizationServer
) -> None:
    (renewed,) = authorization.memory.refresh
    authorization.memory.refresh[lost.refresh_token.reveal()] = authorization.memory.refresh[renewed]
    assert receive(oauth_mailbox).last_error_code == ""
    assert OAuthToken.objects.get().asked_on is None


def test_connecting_again_mends_it_without_another_click(
    oauth_mailbox: Mailbox, connect: Connect, receive: Receive, authorization: AuthorizationServer
) -> None:
    expire(connect(oauth_mailbox))
    authorization.memory.refresh.clear()
    assert not receive(oauth_mailbox).is_enabled
    connect(oauth_mailbox)
    assert WorkerState.objects.due(timezone.now()).filter(direction="incoming").exists()
    state = receive(oauth_mailbox)
    assert (state.is_enabled, state.status) == (True, ResultStatus.SUCCESS)


def test_connecting_has_a_test_repeated_that_met_no_permission(
    oauth_mailbox: Mailbox, connect: Connect, receive: Receive
) -> None:
    WorkerState.objects.update(is_enabled=False, due_at=None)
    chosen = Mailbox.objects.filter(pk=oauth_mailbox.pk)
    job = diagnosis.start(chosen, environment=oauth_mailbox.environment, by=None, now=timezone.now())
    diagnosing.run(job.diagnoses.get().pk)
    assert Alert.objects.open().get(kind="mailbox_parked").error_code == "oauth_not_connected"
    connect(oauth_mailbox)
    assert WorkerState.objects.due(timezone.now()).count() == 2
    assert receive(oauth_mailbox).is_enabled
    assert not Alert.objects.open().filter(kind="mailbox_parked").exists()


@pytest.mark.parametrize("answer", [(503, "busy"), (429, ""), (200, "<html>"), (200, "[]")])
def test_a_token_endpoint_out_of_order_is_no_reason_to_stop(
    oauth_mailbox: Mailbox,
    connect: Connect,
    receive: Receive,
    authorization: AuthorizationServer,
    answer: tuple[int, str],
) -> None:
    expire(connect(oauth_mailbox))
    authorization.instead = answer
    state = receive(oauth_mailbox)
    assert state.is_enabled
    assert (state.transient_failures, state.last_error_code) == (1, "oauth_unavailable")


def test_while_the_token_lives_a_failed_renewal_does_no_harm(
    oauth_mailbox: Mailbox, connect: Connect, receive: Receive, authorization: AuthorizationServer
) -> None:
    token = connect(oauth_mailbox)
    OAuthToken.objects.filter(pk=token.pk).update(access_expires_on=timezone.now() + timedelta(minutes=1))
    authorization.instead = (503, "")
    assert receive(oauth_mailbox).last_error_code == ""
    assert authorization.asked == ["authorization_code", "refresh_token"]


def test_a_token_that_the_mail_server_refuses_is_renewed_once(
    oauth_mailbox: Mailbox, connect: Connect, receive: Receive, authorization: AuthorizationServer
) -> None:
    token = connect(oauth_mailbox)
    OAuthToken.objects.filter(pk=token.pk).update(refreshed_on=timezone.now() - timedelta(hours=1))
    authorization.memory.access.clear()
    assert receive(oauth_mailbox).last_error_code == ""
    authorization.memory.access.clear()
    assert receive(oauth_mailbox).last_error_code == "token_refused"
    assert authorization.asked.count("refresh_token") == 1


def test_a_wrong_client_secret_concerns_the_profile(
    oauth_mailbox: Mailbox, connect: Connect, authorization: AuthorizationServer
) -> None:
    expire(connect(oauth_mailbox))
    authorization.memory.client_secret = "another one"
    with pytest.raises(ClientRefused) as caught:
        connecting.credential(oauth_mailbox, "incoming")
    assert CLIENT_SECRET not in caught.value.server_reply + str(caught.value)


def test_an_application_signs_in_by_its_own_permission(
    oauth_mailbox: Mailbox, receive: Receive, authorization: AuthorizationServer, person: Account
) -> None:
    ServerProfile.objects.update(oauth_grant=OAuthGrant.CLIENT_CREDENTIALS)
    authorization.memory.application_opens = person.user_name
    Mailbox.objects.update(server_account=person.user_name)
    mailbox = Mailbox.objects.get(pk=oauth_mailbox.pk)
    assert receive(mailbox).last_error_code == ""
    assert receive(mailbox).last_error_code == ""
    assert authorization.asked == ["client_credentials"]
    assert OAuthToken.objects.get().server_profile == mailbox.server_profile


def test_an_application_opens_no_mailbox_that_an_owner_names(oauth_mailbox: Mailbox) -> None:
    ServerProfile.objects.update(oauth_grant=OAuthGrant.CLIENT_CREDENTIALS)
    Mailbox.objects.update(user_name="director@contoso.example")
    who = connecting.credential(Mailbox.objects.get(pk=oauth_mailbox.pk), "incoming")
    assert who.user_name == oauth_mailbox.address


def test_another_application_has_to_be_asked_for_anew(oauth_mailbox: Mailbox, connect: Connect) -> None:
    connect(oauth_mailbox)
    ServerProfile.objects.update(oauth_client_id="another-application")
    with pytest.raises(GrantMissing):
        connecting.credential(Mailbox.objects.get(pk=oauth_mailbox.pk), "incoming")


def test_a_code_of_somebody_else_is_worth_nothing(
    oauth_mailbox: Mailbox, authorization: AuthorizationServer, owner: User
) -> None:
    go_and_come_back(oauth_mailbox, authorization, owner)
    visit = OAuthVisit.objects.get()
    visit.verifier = "the verifier of somebody else, who did not ask for this code"
    visit.save()
    authorizing.exchange(str(visit.pk))
    visit.refresh_from_db()
    assert "no longer accepts" in visit.problem
    assert not OAuthToken.objects.exists()


def test_a_code_waits_while_the_provider_does_not_answer(
    oauth_mailbox: Mailbox, authorization: AuthorizationServer, owner: User
) -> None:
    go_and_come_back(oauth_mailbox, authorization, owner)
    authorization.instead = (503, "")
    visit = OAuthVisit.objects.get()
    authorizing.exchange(str(visit.pk))
    authorization.instead = None
    assert not OAuthVisit.objects.due(timezone.now()).exists()
    assert OAuthVisit.objects.due(timezone.now() + timedelta(minutes=1)).exists()
    authorizing.exchange(str(visit.pk))
    assert OAuthToken.objects.get().mailbox == oauth_mailbox


def test_an_exchange_that_never_ends_is_given_up(
    oauth_mailbox: Mailbox, visited: OAuthVisit, authorization: AuthorizationServer
) -> None:
    OAuthVisit.objects.update(fence=authorizing.ATTEMPTS)
    authorizing.exchange(str(visited.pk))
    visited.refresh_from_db()
    assert (visited.finished_on is not None, visited.code.reveal()) == (True, "")
    assert "never came to its end" in visited.problem
    assert authorization.asked == []


def test_an_answer_that_is_nested_too_deeply_is_no_answer(
    visited: OAuthVisit, authorization: AuthorizationServer
) -> None:
    authorization.instead = (200, '{"a":' * 40_000)
    authorizing.exchange(str(visited.pk))
    visited.refresh_from_db()
    assert visited.finished_on is None
    assert visited.queued_until is not None


def test_the_address_guard_holds_for_token_endpoints(oauth_mailbox: Mailbox, settings: object) -> None:
    ServerProfile.objects.update(
        oauth_token_url="https://169.254.169.254/token", oauth_grant=OAuthGrant.CLIENT_CREDENTIALS
    )
    with pytest.raises(Exception, match="not a public one"):
        connecting.credential(Mailbox.objects.get(pk=oauth_mailbox.pk), "incoming")


def test_a_token_endpoint_is_trusted_by_its_certificate(
    oauth_mailbox: Mailbox, authorization: AuthorizationServer
) -> None:
    ServerProfile.objects.update(ca_certificates="", oauth_grant=OAuthGrant.CLIENT_CREDENTIALS)
    with pytest.raises(AuthorizationBusy, match="certificate"):
        connecting.credential(Mailbox.objects.get(pk=oauth_mailbox.pk), "incoming")
    assert authorization.asked == []


def test_the_end_of_the_client_secret_is_told_in_time(oauth_mailbox: Mailbox, connect: Connect) -> None:
    token = connect(oauth_mailbox)
    ServerProfile.objects.update(oauth_secret_expires_on=timezone.now().date() + timedelta(days=7))
    authorizing.look_after(str(token.pk))
    assert Alert.objects.open().filter(kind="oauth_secret_expiring").count() == 1
    ServerProfile.objects.update(oauth_secret_expires_on=timezone.now().date() + timedelta(days=300))
    authorizing.look_after(str(token.pk))
    assert not Alert.objects.open().filter(kind="oauth_secret_expiring").exists()


def test_a_permission_that_nobody_uses_is_renewed_before_it_lapses(
    oauth_mailbox: Mailbox, connect: Connect, authorization: AuthorizationServer
) -> None:
    token = connect(oauth_mailbox)
    soon = timezone.now() + timedelta(days=3)
    OAuthToken.objects.filter(pk=token.pk).update(refresh_expires_on=soon)
    authorizing.look_after(str(token.pk))
    assert authorization.asked.count("refresh_token") == 1
    OAuthToken.objects.filter(pk=token.pk).update(refresh_expires_on=soon)
    authorization.instead = (503, "")
    authorizing.look_after(str(token.pk))
    assert Alert.objects.open().get(kind="oauth_expiring").mailbox == oauth_mailbox
    OAuthToken.objects.filter(pk=token.pk).update(refresh_expires_on=soon + timedelta(days=80))
    authorizing.look_after(str(token.pk))
    assert not Alert.objects.open().filter(kind="oauth_expiring").exists()
