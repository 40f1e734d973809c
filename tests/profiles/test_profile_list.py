from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from mailboxes.models import Alert
from profiles.models import Environment, ServerProfile
from tests.profiles.conftest import HTMX, NOW, NewMailbox, NewProfile, list_url


def test_an_environment_without_profiles_offers_to_create_one(
    client: Client, environment: Environment
) -> None:
    assert "No server profiles yet" in client.get(list_url(environment)).content.decode()


def test_a_row_shows_servers_ports_and_whose_credentials(client: Client, profile: ServerProfile) -> None:
    page = client.get(list_url(profile.environment)).content.decode()
    assert "imap.contoso.example" in page
    assert "IMAP, port 993, TLS" in page
    assert "SMTP, port 465, TLS" in page
    assert "User or queue" in page


def test_a_row_says_that_mailboxes_sign_in_with_oauth(client: Client, new_profile: NewProfile) -> None:
    profile = new_profile("Gmail", authentication_type="oauth")
    page = client.get(list_url(profile.environment)).content.decode()
    assert ">OAuth</td>" in page
    assert "User or queue" not in page


def test_the_default_profile_carries_a_badge(
    client: Client, environment: Environment, new_profile: NewProfile
) -> None:
    new_profile("Main", is_default=True)
    assert ">Default</span>" in client.get(list_url(environment)).content.decode()


def test_a_row_counts_mailboxes_and_failures(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", server_profile=profile, status="failure")
    new_mailbox("ben", server_profile=profile, status="success")
    page = client.get(list_url(profile.environment)).content.decode()
    assert ">2</a>" in page
    assert "1 of 2 failing" in page


def test_a_row_says_how_many_work_while_others_wait_for_a_test(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    new_mailbox("anna", server_profile=profile, status="success")
    new_mailbox("ben", server_profile=profile)
    assert "1 of 2 working" in client.get(list_url(profile.environment)).content.decode()


def test_a_row_leads_to_the_alerts_of_the_profile(
    client: Client, profile: ServerProfile, new_mailbox: NewMailbox
) -> None:
    box = new_mailbox("anna", server_profile=profile)
    # A warning of a mailbox stands on the mailbox's own wall alone.
    for mailbox, level, key in ((None, "error", "x"), (box, "warning", "y")):
        Alert.objects.create(
            environment=profile.environment,
            server_profile=profile,
            mailbox=mailbox,
            kind="x",
            level=level,
            key=key,
            first_seen_on=NOW,
            last_seen_on=NOW,
        )
    page = client.get(list_url(profile.environment)).content.decode()
    assert reverse("mailboxes:profile_alerts", args=["contoso", profile.pk]) in page
    assert "1 open alert" in page


def test_inactive_profiles_have_their_own_view(
    client: Client, environment: Environment, profile: ServerProfile, new_profile: NewProfile
) -> None:
    new_profile("Retired", is_active=False)
    page = client.get(list_url(environment), {"view": "inactive"}).content.decode()
    assert "Retired" in page
    assert "Contoso IMAP" not in page


def test_search_finds_by_host(
    client: Client, environment: Environment, profile: ServerProfile, new_profile: NewProfile
) -> None:
    ServerProfile.objects.filter(pk=new_profile("Other").pk).update(
        outgoing_location="relay.fabrikam.example"
    )
    page = client.get(list_url(environment), {"q": "fabrikam"}).content.decode()
    assert "1 server profile" in page


def test_the_list_alone_answers_htmx(client: Client, profile: ServerProfile) -> None:
    page = client.get(list_url(profile.environment), headers=HTMX).content.decode()
    assert "<title>" not in page
    assert 'id="list"' in page


def test_sorting_by_mailboxes_puts_the_busiest_first(
    client: Client, environment: Environment, new_profile: NewProfile, new_mailbox: NewMailbox
) -> None:
    new_profile("Idle")
    new_mailbox("anna", server_profile=new_profile("Busy"))
    page = client.get(list_url(environment), {"sort": "-mailboxes"}).content.decode()
    assert page.index(">Busy</a>") < page.index(">Idle</a>")


def test_the_list_asks_a_constant_number_of_questions(
    client: Client,
    environment: Environment,
    new_profile: NewProfile,
    new_mailbox: NewMailbox,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    profiles = [new_profile(f"Profile {number}") for number in range(12)]
    [new_mailbox(f"m{number}", server_profile=profile) for number, profile in enumerate(profiles)]
    with django_assert_num_queries(
        7
    ):  # session, person, environment, counts, rows, figures, open alerts of the top bar
        client.get(list_url(environment))


def test_profiles_of_another_environment_stay_there(client: Client, environment: Environment) -> None:
    other = Environment.objects.create(slug="fabrikam", name="Fabrikam")
    ServerProfile.objects.create(
        environment=other, name="Theirs", incoming_location="a.example", outgoing_location="b.example"
    )
    assert "Theirs" not in client.get(list_url(environment)).content.decode()
