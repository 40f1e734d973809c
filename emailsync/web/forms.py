"""How forms look and speak, whatever they are about.

`ConsoleForm` turns plain Django fields into the console's controls: checkboxes become switches, dates
follow the reader's zone, secrets never leave the server. Tips and units are declared beside the fields:

    class ProfileForm(ConsoleForm, forms.ModelForm):
        tips = {"authentication_type": "Decides whose credentials are used to sign in."}
        units = {"minimum_polling_interval": "min"}
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, cast

from django import forms
from django.forms.boundfield import BoundField
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

DATETIME_LOCAL = "%Y-%m-%dT%H:%M"


class Switch(forms.CheckboxInput):
    """A setting that is on or off; it takes effect on Save."""

    def __init__(self, attrs: dict[str, Any] | None = None, **options: Any) -> None:
        """Make the checkbox a switch."""
        super().__init__({"role": "switch", "class": "switch", **(attrs or {})}, **options)


class Check(forms.CheckboxInput):
    """A tick, where several stand under one heading."""

    def __init__(self, attrs: dict[str, Any] | None = None, **options: Any) -> None:
        """Style the checkbox."""
        super().__init__({"class": "check", **(attrs or {})}, **options)


class ReasonedSelect(forms.Select):
    """A dropdown that also shows what cannot be chosen here, with the reason behind it.

    Leave the refusal itself to the rules of the record: a browser is not what keeps a choice from being sent.
    """

    def __init__(
        self, attrs: dict[str, Any] | None = None, *, reasons: Mapping[str, Any], **options: Any
    ) -> None:
        """Take the reasons by the value of the choice."""
        super().__init__(attrs, **options)
        self.reasons = reasons

    def create_option(self, *args: Any, **options: Any) -> dict[str, Any]:
        """Switch off what has a reason, unless it is what is stored."""
        option = super().create_option(*args, **options)
        reason = self.reasons.get(str(option["value"]))
        if reason and not option["selected"]:
            option["attrs"]["disabled"] = True
            option["label"] = f"{option['label']} ({reason})"
        return option


class MomentInput(forms.DateTimeInput):
    """A date and time in the reader's zone."""

    input_type = "datetime-local"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        """Write values the way the browser's picker reads them."""
        super().__init__(attrs=attrs, format=DATETIME_LOCAL)


class MomentField(forms.DateTimeField):
    """A date and time, typed in the reader's zone, stored in UTC."""

    widget = MomentInput

    def prepare_value(self, value: Any) -> Any:
        """Show whole minutes: the picker would refuse seconds it did not offer."""
        shown = super().prepare_value(value)
        return shown.replace(second=0, microsecond=0) if isinstance(shown, datetime) else shown

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare whole minutes, so that seconds stored elsewhere do not count as an edit."""
        if isinstance(initial, datetime):
            initial = timezone.localtime(initial) if timezone.is_aware(initial) else initial
            initial = initial.replace(second=0, microsecond=0, tzinfo=None)
            try:
                typed = self.to_python(data)
            except forms.ValidationError:
                return True
            if isinstance(typed, datetime):
                typed = timezone.localtime(typed).replace(tzinfo=None)
            return bool(initial != typed)
        return super().has_changed(initial, data)


class SecretInput(forms.PasswordInput):
    """A secret: never sent to the browser, not even after a mistake elsewhere in the form."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        """Keep password managers from offering the reader's own password."""
        super().__init__(
            {"autocomplete": "new-password", "spellcheck": "false", **(attrs or {})}, render_value=False
        )


class SecretField(forms.CharField):
    """A secret that is saved once and never shown: left empty, it stays as it is.

    `saved` says that there is one already; then the field is not required and its placeholder says so.
    A refused form comes back without it; the script then carries what was typed from the old field to the
    new one, inside the browser.
    """

    widget = SecretInput

    def __init__(self, *, saved: bool = False, **options: Any) -> None:
        """Keep blanks: they are part of a password."""
        options.setdefault("strip", False)
        super().__init__(**options)
        self.saved = saved

    @property
    def saved(self) -> bool:
        """Tell whether a secret is already stored."""
        return self._saved

    @saved.setter
    def saved(self, value: bool) -> None:
        self._saved = value
        if value:
            self.required = False
            self.widget.is_required = False
            self.widget.attrs["placeholder"] = _("Saved \N{EN DASH} type to replace")
        else:
            self.widget.attrs.pop("placeholder", None)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Send nothing back."""
        return ""

    def prepare_value(self, value: Any) -> Any:
        """Send nothing back."""
        return ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Count only what was typed."""
        return bool(data)


class ConsoleBoundField(BoundField):
    """A field that knows which markup it needs and what is said beside it."""

    @property
    def control(self) -> str:
        """Name the kind of control, for the template."""
        widget = self.field.widget
        kinds: tuple[tuple[type[forms.Widget] | tuple[type[forms.Widget], ...], str], ...] = (
            ((forms.HiddenInput, forms.MultipleHiddenInput), "hidden"),
            (Check, "check"),
            (forms.CheckboxInput, "switch"),
            ((forms.RadioSelect, forms.CheckboxSelectMultiple), "choices"),
            (forms.SelectMultiple, "list"),
            (forms.Select, "select"),
            (forms.PasswordInput, "password"),
        )
        return next((kind for types, kind in kinds if isinstance(widget, types)), "input")

    @property
    def tip(self) -> str:
        """Return what the (i) button beside the label tells."""
        return str(cast("ConsoleForm", self.form).tips.get(self.name, ""))

    @property
    def unit(self) -> str:
        """Return the unit shown inside the control."""
        return str(cast("ConsoleForm", self.form).units.get(self.name, ""))

    @property
    def saved_value(self) -> str:
        """Return what somebody else saved here meanwhile, if the form ran into that."""
        conflict = getattr(self.form, "conflict", None)
        return conflict.saved.get(self.name, "") if conflict else ""

    @property
    def is_marked(self) -> bool:
        """Tell whether the label carries the mark of a required field; a choice always made has none."""
        if self.control == "select" and getattr(self.field, "empty_label", None) is None:
            return False
        is_saved = getattr(self.field, "saved", False)  # a secret, which need not be typed again
        is_required = self.field.required or (
            self.name in cast("ConsoleForm", self.form).marked and not is_saved
        )
        return is_required and self.control not in {"switch", "check"}


class ConsoleForm(forms.BaseForm):
    """A form in the console's look. Put it before `forms.Form` or `forms.ModelForm`."""

    #: Field name and what the (i) button beside its label tells.
    tips: ClassVar[Mapping[str, str | Promise]] = {}
    #: Field name and the unit shown inside the control.
    units: ClassVar[Mapping[str, str | Promise]] = {}
    #: Fields that are marked as required: they are, by a rule of the form's own.
    marked: ClassVar[Collection[str]] = ()
    #: Whether the reader may change nothing: the page then shows no Save.
    is_locked = False

    def __init__(self, *args: Any, **options: Any) -> None:
        """Give each field the console's control."""
        options.setdefault("label_suffix", "")
        super().__init__(*args, **options)
        for name, field in self.fields.items():
            self._dress(name, field)

    def lock(self, *, but: Collection[str] = ()) -> None:
        """Let the form only be read, except for the fields named in `but`: whatever is sent is ignored."""
        self.is_locked = not but
        for name, field in self.fields.items():
            if name not in but:
                field.disabled = True

    def _dress(self, name: str, field: forms.Field) -> None:
        widget = field.widget
        if type(widget) is forms.CheckboxInput:
            field.widget = Switch(widget.attrs)
        if type(field) is forms.DateTimeField:
            moment = MomentField(
                required=field.required,
                label=field.label,
                help_text=field.help_text,
                initial=field.initial,
                disabled=field.disabled,
                validators=field.validators,
            )
            self.fields[name] = moment
        if isinstance(widget, forms.CheckboxSelectMultiple | forms.RadioSelect):
            widget.attrs.setdefault(
                "class", "check" if isinstance(widget, forms.CheckboxSelectMultiple) else "radio"
            )
        if isinstance(widget, forms.Textarea):
            widget.attrs.pop("cols", None)
            widget.attrs["rows"] = (
                widget.attrs["rows"] if widget.attrs.get("rows") not in {None, "10"} else "2"
            )
        if isinstance(field, forms.IntegerField) and isinstance(widget, forms.NumberInput):
            widget.attrs.setdefault("inputmode", "numeric")


@dataclass(frozen=True)
class FieldError:
    """One line of the summary above a form."""

    target: str
    label: str
    message: str


def field_errors(form: forms.BaseForm) -> tuple[FieldError, ...]:
    """Return what is wrong with `form`, the whole form first, then in the order of its fields."""
    found = [FieldError("", "", str(message)) for message in form.non_field_errors()]
    for name in form.fields:
        bound = form[name]
        if bound.is_hidden:
            found += [FieldError("", "", str(message)) for message in bound.errors]
        else:
            found += [
                FieldError(bound.id_for_label, str(bound.label), str(message)) for message in bound.errors
            ]
    return tuple(found)
