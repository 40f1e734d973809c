"""The form that names an environment."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from emailsync.web.concurrency import VersionedForm
from emailsync.web.forms import ConsoleForm
from profiles import services
from profiles.models import Environment
from profiles.rules import plain_text_errors

# Django's form is generic for the type checker only.
if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Environment]
else:
    _ModelForm = forms.ModelForm


class EnvironmentForm(VersionedForm, ConsoleForm, _ModelForm):
    """Name and type of an environment. Its address is made of the first name and stays."""

    tips: ClassVar[dict[str, Any]] = {
        "kind": gettext_lazy(
            "Production for mail that matters, Sandbox to try things out. Both work the same."
        )
    }

    class Meta:
        model = Environment
        fields: ClassVar[list[str]] = ["name", "kind"]
        labels: ClassVar[dict[str, Any]] = {"name": gettext_lazy("Name"), "kind": gettext_lazy("Type")}
        widgets: ClassVar[dict[str, forms.Widget]] = {
            "name": forms.TextInput(attrs={"autocomplete": "off"}),
        }
        error_messages: ClassVar[dict[str, dict[str, Any]]] = {
            "name": {"required": gettext_lazy("Enter a name that people will recognise.")},
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin with the name; a refused form has its summary focused instead."""
        super().__init__(*args, **kwargs)
        if not self.is_bound:
            self.fields["name"].widget.attrs["autofocus"] = True

    def clean_name(self) -> str:
        """Refuse the name of another environment: people could not tell them apart."""
        name: str = self.cleaned_data["name"]
        errors = plain_text_errors(Environment(name=name), fields=("name",))
        if errors:
            raise forms.ValidationError(errors["name"])
        if services.environment_name_is_taken(Environment(pk=self.instance.pk, name=name)):
            taken = _("Another environment is named %(name)s. Choose another name.")
            raise forms.ValidationError(taken % {"name": name})
        return name

    def _post_clean(self) -> None:
        """Give the instance the version that its reader saw."""
        version: Any = self.cleaned_data.get("version")
        if version is not None:
            self.instance.version = version
        super()._post_clean()  # type: ignore[misc]
