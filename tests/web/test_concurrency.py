"""The second of two editors is told what the first saved, and nothing typed is lost."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from django import forms
from django.contrib.auth.models import Group
from django.http import QueryDict

from emailsync.web.concurrency import VersionedForm
from emailsync.web.forms import ConsoleForm

if TYPE_CHECKING:
    GroupModelForm = forms.ModelForm[Group]
else:
    GroupModelForm = forms.ModelForm


class GroupForm(VersionedForm, ConsoleForm, GroupModelForm):
    """The smallest record there is."""

    class Meta:
        model = Group
        fields: ClassVar = ["name"]


@dataclass
class Person:
    """Who saved."""

    name: str

    def get_full_name(self) -> str:
        """Return the name."""
        return self.name


def saved(name: str, **attributes: Any) -> Any:
    """Return the record as somebody else saved it."""
    record: Any = Group(pk=1, name=name)
    record.version, record.modified_on, record.modified_by = (
        7,
        datetime(2026, 11, 23, tzinfo=UTC),
        Person("Rosa"),
    )
    return record


@pytest.fixture
def form(db: None) -> GroupForm:
    """Give the form of a reader who saw version 6."""
    form = GroupForm(QueryDict("name=Mine&version=6"), instance=Group(pk=1, name="Before"))
    assert form.is_valid()
    return form


def test_the_form_carries_the_version_its_reader_saw() -> None:
    instance: Any = Group(pk=1, name="Before")
    instance.version = 6
    assert 'value="6"' in str(GroupForm(instance=instance)["version"])


def test_a_conflict_names_who_saved(form: GroupForm) -> None:
    assert form.meet(saved("Theirs")).who == "Rosa"


def test_a_conflict_shows_the_saved_value_beside_the_typed_one(form: GroupForm) -> None:
    form.meet(saved("Theirs"))
    html = form["name"].as_field_group()
    assert 'value="Mine"' in html
    assert "Saved meanwhile: <b>Theirs</b>" in html


def test_a_field_that_both_left_alike_is_not_marked(form: GroupForm) -> None:
    form.meet(saved("Mine"))
    assert "Saved meanwhile" not in form["name"].as_field_group()


def test_a_second_save_is_made_against_the_version_now_shown(form: GroupForm) -> None:
    form.meet(saved("Theirs"))
    assert 'value="7"' in str(form["version"])


def test_the_version_is_no_change_of_the_readers(form: GroupForm) -> None:
    assert form.changes == {"name": "Mine"}
