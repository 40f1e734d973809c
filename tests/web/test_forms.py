"""Forms look and speak the console's way and never send a secret back."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django import forms
from django.http import QueryDict
from django.utils import timezone

from emailsync.web.forms import ConsoleForm, SecretField, field_errors
from tests.web.trial import ServerForm


class EventForm(ConsoleForm, forms.Form):
    """A date alone."""

    since = forms.DateTimeField(required=False)


def bound(words: str) -> ServerForm:
    """Return the form as a browser sent it."""
    return ServerForm(QueryDict(words))


def test_a_required_field_is_marked() -> None:
    assert '<span class="req" aria-hidden="true">*</span>' in ServerForm()["name"].as_field_group()


def test_what_a_rule_of_the_form_requires_is_marked_too() -> None:
    class AnotherForm(ServerForm):
        marked = ("since",)

    assert "req" not in ServerForm()["since"].as_field_group()
    assert '<span class="req" aria-hidden="true">*</span>' in AnotherForm()["since"].as_field_group()


def test_a_secret_that_is_saved_is_not_marked() -> None:
    class AnotherForm(ConsoleForm, forms.Form):
        marked = ("new", "old")
        new = SecretField(required=False)
        old = SecretField(saved=True)

    assert '"req"' in AnotherForm()["new"].as_field_group()
    assert '"req"' not in AnotherForm()["old"].as_field_group()


def test_a_choice_that_is_always_made_is_not_marked() -> None:
    assert "req" not in ServerForm()["kind"].as_field_group()


def test_a_hint_describes_its_field() -> None:
    html = ServerForm()["name"].as_field_group()
    assert 'aria-describedby="id_name_helptext"' in html
    assert '<span class="hint" id="id_name_helptext">Shown in lists.</span>' in html


def test_an_error_stands_at_its_field_and_describes_it() -> None:
    html = bound("kind=o")["name"].as_field_group()
    assert 'aria-invalid="true"' in html
    assert 'aria-describedby="id_name_helptext id_name_error"' in html
    assert '<span id="id_name_error"><span class="err">' in html


def test_a_tip_stands_beside_the_label() -> None:
    assert 'aria-label="About Name"' in ServerForm()["name"].as_field_group()


def test_a_check_box_becomes_a_switch() -> None:
    assert 'role="switch"' in ServerForm()["is_default"].as_field_group()


def test_a_unit_stands_in_its_field() -> None:
    assert '<span class="unit">min</span>' in ServerForm()["pause"].as_field_group()


def test_several_ticks_share_a_legend() -> None:
    html = ServerForm()["details"].as_field_group()
    assert "<legend>Details" in html
    assert html.count('class="choice"') == 2


def test_the_summary_leads_to_each_field() -> None:
    errors = field_errors(bound("kind=o&pause=999&version=0"))
    assert [(error.target, error.label) for error in errors] == [("id_name", "Name"), ("id_pause", "Pause")]


def test_a_typed_secret_is_never_sent_back() -> None:
    assert "hunter2" not in bound("password=hunter2&kind=o")["password"].as_field_group()


def test_a_stored_secret_is_never_sent() -> None:
    form = ServerForm(initial={"password": "hunter2"})
    assert "hunter2" not in form["password"].as_field_group()


def test_a_saved_secret_says_so() -> None:
    assert "Saved \N{EN DASH} type to replace" in ServerForm()["password"].as_field_group()


def test_a_saved_secret_left_empty_is_unchanged() -> None:
    form = bound("name=x&kind=o&version=0&password=")
    assert form.is_valid()
    assert "password" not in form.changed_data


def test_a_secret_keeps_its_blanks() -> None:
    assert SecretField().clean(" a b ") == " a b "


def test_a_time_is_shown_in_the_readers_zone() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        html = EventForm(initial={"since": datetime(2026, 11, 23, 8, 0, 30, tzinfo=UTC)})[
            "since"
        ].as_field_group()
    assert 'type="datetime-local"' in html
    assert 'value="2026-11-23T09:00"' in html


def test_a_time_is_read_in_the_readers_zone() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        form = EventForm(QueryDict("since=2026-11-23T09:00"))
        assert form.is_valid()
    assert form.cleaned_data["since"].astimezone(UTC) == datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_seconds_that_the_picker_hides_do_not_count_as_an_edit() -> None:
    stored = datetime(2026, 11, 23, 8, 0, 30, tzinfo=UTC)
    form = EventForm(QueryDict("since=2026-11-23T08:00"), initial={"since": stored})
    assert form.changed_data == []
