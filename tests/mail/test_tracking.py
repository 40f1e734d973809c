import string

from hypothesis import given
from hypothesis import strategies as st

from emailsync.mail.tracking import SUBJECT_LIMIT, TokenStyle, bare_subject, smart_key, with_token

STYLE = TokenStyle("CRM", 0, 3, 3)
PREFIXES = st.text(st.sampled_from(string.ascii_letters + string.digits + "-_#[.*+"), min_size=1, max_size=20)
STYLES = st.builds(TokenStyle, PREFIXES, st.integers(0, 99_999), st.integers(1, 10), st.integers(1, 9))


def test_a_token_is_prefix_base_number_sender_and_message() -> None:
    assert STYLE.token(user=1, message=2) == "CRM:0001002"


@given(STYLES, st.integers(1, 10**10), st.integers(0, 10**10))
def test_a_token_is_found_in_every_subject_that_it_was_put_on(
    style: TokenStyle, user: int, message: int
) -> None:
    token = style.token(user=user, message=message)
    subject = with_token("Order 4711", token)
    assert style.find(subject) == (token,)
    assert style.find(f"AW: {subject} [extern]") == (token,)


@given(st.text(), STYLES)
def test_whatever_a_subject_says_what_is_found_in_it_stands_in_it(subject: str, style: TokenStyle) -> None:
    assert all(token in subject for token in style.find(subject))


@given(st.text(max_size=400), STYLES, st.integers(1, 10**10))
def test_a_token_is_put_on_once_and_within_the_limit(subject: str, style: TokenStyle, number: int) -> None:
    token = style.token(user=number, message=number)
    once = with_token(subject, token)
    assert len(once) <= SUBJECT_LIMIT or token in subject
    assert with_token(once, token) == once


def test_more_digits_or_another_word_before_it_make_no_token() -> None:
    assert STYLE.find("XCRM:0001002") == ()
    assert STYLE.find("CRM: none here") == ()


def test_the_last_token_of_a_subject_comes_first() -> None:
    assert STYLE.find("CRM:0001001 and CRM:0002002") == ("CRM:0002002", "CRM:0001001")


def test_marks_of_answers_are_taken_off_in_several_languages() -> None:
    assert bare_subject("AW: Re[2]: Fwd: Order of May") == "Order of May"


def test_an_answer_has_the_smart_key_of_what_it_answers() -> None:
    people = ("ana@example.org", "Ben@example.org")
    assert smart_key("RE: Order of may", reversed(people)) == smart_key("Order of May", people) != ""


def test_a_subject_of_one_word_matches_nothing() -> None:
    assert smart_key("Re: Hello", ("ana@example.org",)) == ""
