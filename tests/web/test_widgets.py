"""Controls drawn in Python are what Django's templates draw, letter for letter."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates
from django.utils.functional import lazystr
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from emailsync.web import widgets
from emailsync.web.forms import MomentInput, ReasonedSelect, SecretInput, Switch
from emailsync.web.rendering import ConsoleRenderer

TEXTS = [None, "", "0", 0, 1_234_567, "\"<b>'&", "a {name} %s", "\nfirst line\nsecond", mark_safe("&amp;")]
ATTRIBUTES: list[dict[str, Any]] = [
    {},
    {"id": "id_x", "required": True, "disabled": False, "maxlength": 1_200, "class": ""},
    {"placeholder": gettext_lazy("Any"), 'data-"<': "{0} <&\"'>", "title": mark_safe("&lt;")},
]
CHOICES = [
    ("", gettext_lazy("Any")),
    ("a<", "A & B {x}"),
    (1, lazystr("one <")),
    ("Group <", [("b", "B"), ("c", mark_safe("<i>C</i>"))]),
]
INPUTS: list[forms.Widget] = [
    forms.TextInput(),
    forms.NumberInput(),
    forms.EmailInput(),
    forms.URLInput(),
    forms.HiddenInput(),
    forms.PasswordInput(render_value=True),
    forms.Textarea({"rows": 2}),
    SecretInput(),
    Switch(),
]
SELECTS: list[forms.Widget] = [
    forms.Select(choices=CHOICES),
    forms.SelectMultiple(choices=CHOICES),
    ReasonedSelect(reasons={"b": gettext_lazy("not <here>")}, choices=CHOICES),
]


def assert_same(widget: forms.Widget, value: Any, attributes: dict[str, Any]) -> None:
    """Fail unless both draw the same."""
    drawn = widget.render("a<b", value, attributes, renderer=ConsoleRenderer())
    assert drawn == widget.render("a<b", value, attributes, renderer=DjangoTemplates())
    assert hasattr(drawn, "__html__")


@pytest.mark.parametrize("widget", INPUTS, ids=lambda widget: type(widget).__name__)
def test_an_input_is_drawn_as_its_template_draws_it(widget: forms.Widget) -> None:
    for value in TEXTS:
        for attributes in ATTRIBUTES:
            assert_same(widget, value, attributes)


@pytest.mark.parametrize("widget", SELECTS, ids=lambda widget: type(widget).__name__)
def test_a_dropdown_is_drawn_as_its_templates_draw_it(widget: forms.Widget) -> None:
    for value in [None, "", "a<", 1, "b", ["b", "c"]]:
        for attributes in ATTRIBUTES:
            assert_same(widget, value, attributes)


@pytest.mark.parametrize("widget", [MomentInput(), forms.DateInput()], ids=["moment", "date"])
def test_a_time_is_drawn_as_its_template_draws_it(widget: forms.Widget) -> None:
    assert_same(widget, datetime(2026, 3, 1, 9, 30, tzinfo=UTC), {"id": "id_x"})
    assert_same(widget, None, {})


def test_the_controls_of_forms_are_drawn_without_templates() -> None:
    names = {widget.template_name for widget in [*INPUTS, *SELECTS[::2], MomentInput(), forms.DateInput()]}
    assert names <= set(widgets.DRAWN)
