"""Lists keep their state in the address and ask the database two questions."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from tests.web.trial import LIST_URL, PeopleListing

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def people() -> None:
    """Add seven people: two of the staff, one inactive, one never seen."""
    seen = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    User.objects.bulk_create(
        [
            User(username="Zoe", email="zoe@contoso.example", is_staff=True, last_login=seen),
            User(username="adam", email="adam@contoso.example", last_login=seen),
            User(username="Bea", email="bea@fabrikam.example", is_staff=True, last_login=seen),
            User(username="carl", email="carl@contoso.example"),
            User(username="Dora", email="dora@contoso.example", last_login=seen),
            User(username="emil", email="emil@contoso.example", last_login=seen),
            User(username="Gone", email="gone@contoso.example", is_active=False),
        ]
    )


def listing(state: str = "") -> PeopleListing:
    """Return the list as the address `state` asks for it."""
    return PeopleListing(QueryDict(state), User.objects.all(), url=LIST_URL)


def names(shown: PeopleListing) -> list[str]:
    """Return who is shown, in order."""
    return [person.username for person in shown.rows]


def test_the_first_view_and_the_default_order_need_no_words() -> None:
    assert names(listing()) == ["adam", "Bea", "carl", "Dora", "emil"]


def test_a_column_sorts_downwards_on_demand() -> None:
    assert names(listing("sort=-name"))[0] == "Zoe"


def test_empty_values_stand_last_in_either_direction() -> None:
    assert (names(listing("sort=seen&size=50"))[-1], names(listing("sort=-seen&size=50"))[-1]) == (
        "carl",
        "carl",
    )


def test_another_view_shows_other_records() -> None:
    assert names(listing("view=inactive")) == ["Gone"]


def test_every_word_of_a_search_must_match_somewhere() -> None:
    assert names(listing("q=DORA contoso")) == ["Dora"]


def test_a_search_with_nul_bytes_does_not_reach_the_database_with_them() -> None:
    assert names(listing("q=ad%00am")) == ["adam"]


def test_a_facet_narrows_the_view_and_keeps_the_counts_of_the_others() -> None:
    shown = listing("facet=staff")
    counts = [(choice.title, choice.count) for choice in shown.facet_choices]
    assert (names(shown), counts) == (["Bea", "Zoe"], [("All", 6), ("Staff", 2), ("Others", 4)])


def test_counts_follow_the_search() -> None:
    assert [choice.count for choice in listing("q=fabrikam").facet_choices] == [1, 1, 0]


def test_the_last_page_holds_the_rest() -> None:
    shown = listing("page=2")
    assert (names(shown), shown.range) == (["Zoe"], "6\N{EN DASH}6 of 6")


def test_a_page_that_does_not_exist_becomes_the_nearest_that_does() -> None:
    assert (listing("page=99").page, listing("page=-1").page, listing("page=x").page) == (2, 1, 1)
    # Python reads no number of so many digits.
    assert listing(f"page={'9' * 5_000}").page == 1


def test_words_the_list_does_not_know_are_ignored() -> None:
    shown = listing("sort=password&view=nope&facet=nope&size=7")
    assert (shown.sort, shown.title, shown.facet, shown.size) == ("name", "Active People", None, 5)


def test_links_keep_the_state_and_drop_the_page() -> None:
    shown = listing("q=e&facet=staff&sort=-name&page=2")
    assert shown.headers[0].url == f"{LIST_URL}?q=e&facet=staff"


def test_turning_the_page_keeps_everything() -> None:
    assert listing("q=contoso&size=5&sort=-name").next_url == ""
    assert listing("sort=-name").next_url == f"{LIST_URL}?sort=-name&page=2"


def test_a_second_click_on_a_head_turns_the_order_round() -> None:
    head = listing().headers[0]
    assert (head.direction, head.url) == ("ascending", f"{LIST_URL}?sort=-name")


def test_the_caption_says_what_is_shown() -> None:
    assert listing().caption == "Active People, 1\N{EN DASH}5 of 6, sorted by name"


def test_the_selection_behind_all_pages_is_a_queryset() -> None:
    assert listing("facet=others").selected.count() == 4


def test_clearing_the_filters_keeps_view_and_order() -> None:
    assert listing("view=inactive&q=x&sort=-name").clear_url == f"{LIST_URL}?view=inactive&sort=-name"


def test_a_list_asks_the_database_two_questions(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(2):
        shown = listing("facet=others&page=1")
        _ = (shown.rows, shown.total, shown.facet_choices, shown.range, shown.next_url, shown.caption)


def test_an_empty_list_asks_only_for_the_counts(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    User.objects.all().delete()
    with django_assert_num_queries(1):
        assert listing().rows == []


def test_a_search_is_asked_once_for_the_counts_and_the_rows(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(4) as asked:
        shown = listing("q=contoso&facet=others")
        assert (names(shown), shown.total) == (["adam", "carl", "Dora", "emil"], 4)
    assert sum("LIKE" in query["sql"] for query in asked.captured_queries) == 1


def test_a_search_that_finds_much_is_not_carried_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emailsync.web.listing_records.FEW", 3)
    assert names(listing("q=contoso&facet=others")) == ["adam", "carl", "Dora", "emil"]


@pytest.mark.parametrize(("sort", "last"), [("name", ["Zoe"]), ("-name", ["adam"]), ("seen", ["carl"])])
def test_the_last_page_is_read_from_the_end(sort: str, last: list[str]) -> None:
    assert names(listing(f"sort={sort}&page=2")) == last


def test_a_late_page_keeps_the_order() -> None:
    User.objects.bulk_create(User(username=f"x{number}", is_active=True) for number in range(8))
    whole = [*names(listing("size=5&page=1")), *names(listing("page=2")), *names(listing("page=3"))]
    assert whole == names(listing("size=50"))


@pytest.mark.parametrize("sort", ["name", "-name", "seen"])
def test_what_is_rare_is_sorted_whole_and_shown_the_same(sort: str, monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.bulk_create(User(username=f"x{number}", is_staff=True) for number in range(8))
    pages = [f"facet=staff&sort={sort}&page={number}" for number in (1, 2)]
    as_usual = [names(listing(page)) for page in pages]
    staff, others = PeopleListing.facets
    monkeypatch.setattr(PeopleListing, "facets", (replace(staff, is_rare=True), others))
    assert [names(listing(page)) for page in pages] == as_usual
    with CaptureQueriesContext(connection) as asked:
        names(listing(pages[1]))
    assert not any(query["sql"].endswith(("LIMIT 5", "LIMIT 5 OFFSET 5")) for query in asked.captured_queries)


@pytest.mark.parametrize(("most", "looked"), [(5_000, 1), (9, 3)])
def test_what_is_rare_is_looked_for_once_to_be_counted_and_shown(
    most: int, looked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    User.objects.bulk_create(User(username=f"x{number}", is_staff=True) for number in range(8))
    staff, others = PeopleListing.facets
    usual = [(choice.title, choice.count) for choice in listing("facet=staff").facet_choices]
    monkeypatch.setattr(PeopleListing, "facets", (replace(staff, is_rare=True), others))
    monkeypatch.setattr("emailsync.web.listing_records.RARE", most)
    shown = listing("facet=staff")
    with CaptureQueriesContext(connection) as asked:
        assert len(names(shown)) == 5
        assert [(choice.title, choice.count) for choice in shown.facet_choices] == usual
    where = [query["sql"].count('AND "auth_user"."is_staff")') for query in asked.captured_queries]
    assert sum(where) == looked


def test_a_facet_that_a_rare_view_rules_out_is_empty_and_hides_nothing_of_the_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    active, *others = PeopleListing.views
    rare = replace(active, is_rare=True, rules_out=frozenset({"staff"}))
    monkeypatch.setattr(PeopleListing, "views", (rare, *others))
    shown = listing("facet=staff")
    assert (shown.total, names(shown), shown.facet_choices[0].count) == (0, [], 6)
