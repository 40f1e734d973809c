"""Two people at one record: the second is told, and nothing is overwritten.

The form carries the `version` its reader saw, and saving counts the version up in one conditional UPDATE.
When no row matches, somebody was faster: the service raises, and the form comes back with everything
typed, the saved value beside each field that differs, and the new version, so that a second Save is a
decision:

    try:
        editing.update(mailbox, by=request.user)
    except StaleRecord:
        form.meet(Mailbox.objects.get(pk=mailbox.pk))
        return dialog_response(..., status=422)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, cast

from django import forms
from django.db.models import Model
from django.http import QueryDict
from django.template.defaultfilters import date as format_date
from django.utils import timezone
from django.utils.translation import gettext as _

from emailsync.web.forms import SecretField


class Saved(Protocol):
    """A record people edit, as far as a conflict needs to know it."""

    version: int
    modified_on: datetime
    modified_by: Any


@dataclass(frozen=True)
class Conflict:
    """Who saved when, and the saved value of each field that differs from what is typed."""

    who: str
    when: datetime
    saved: Mapping[str, str]


def words_for(field: forms.Field, value: Any) -> str:
    """Say a field's value the way the form shows it."""
    if isinstance(value, bool) or isinstance(field, forms.BooleanField):
        return _("On") if value else _("Off")
    if value is None or value == "":
        return _("empty")
    if isinstance(value, datetime):
        return format_date(timezone.localtime(value), "M j, Y, H:i")
    if isinstance(field, forms.ModelChoiceField):
        found = field.queryset.filter(pk=value).first() if field.queryset is not None else None
        return str(found or value)
    labels = dict(cast("Any", getattr(field, "choices", ())))
    return str(labels.get(value, value))


class VersionedForm(forms.BaseForm):
    """A form that knows which version its reader saw. Put it before `ConsoleForm`."""

    conflict: Conflict | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        """Add the hidden version."""
        super().__init__(*args, **options)
        version = getattr(getattr(self, "instance", None), "version", 0)
        self.fields["version"] = forms.IntegerField(widget=forms.HiddenInput, initial=version, min_value=0)

    @property
    def changes(self) -> dict[str, Any]:
        """Return what the reader changed, and nothing else."""
        return {name: self.cleaned_data[name] for name in self.changed_data if name != "version"}

    def meet(self, saved: Saved) -> Conflict:
        """Show what was saved meanwhile beside what is typed; nothing typed is lost."""
        current = forms.models.model_to_dict(cast("Model", saved))
        differing = {
            name: words_for(field, current[name])
            for name, field in self.fields.items()
            if name in current
            and not isinstance(field, SecretField)
            and field.has_changed(current[name], self[name].data)
        }
        data = cast("QueryDict", self.data).copy()
        data[self.add_prefix("version")] = str(saved.version)
        self.data = data
        who = str(
            getattr(saved.modified_by, "get_full_name", str)() or saved.modified_by or _("Somebody else")
        )
        self.conflict = Conflict(who=who, when=saved.modified_on, saved=differing)
        return self.conflict
