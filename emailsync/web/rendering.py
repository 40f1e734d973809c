"""Forms drawn with the console's templates."""

from pathlib import Path
from typing import Any

import django.forms
from django.conf import settings
from django.forms.renderers import DjangoTemplates
from django.http import HttpRequest
from django.template.backends.django import DjangoTemplates as TemplatesBackend
from django.utils.functional import cached_property

from emailsync.web.forms import ConsoleBoundField
from emailsync.web.widgets import DRAWN


class ConsoleRenderer(DjangoTemplates):
    """Find form templates among the console's own, then among Django's."""

    form_template_name = "components/form.html"
    field_template_name = "components/field.html"
    bound_field_class = ConsoleBoundField

    @cached_property
    def engine(self) -> TemplatesBackend:
        """Return the engine; made once, it keeps its compiled templates."""
        return TemplatesBackend(
            {
                "APP_DIRS": False,
                "DIRS": [settings.BASE_DIR / "templates", Path(django.forms.__file__).parent / "templates"],
                "NAME": "forms",
                "OPTIONS": {"debug": settings.DEBUG},
            }
        )

    def render(self, template_name: str, context: dict[str, Any], request: HttpRequest | None = None) -> str:
        """Draw a form, a field or a widget; usual widgets take a fraction of the time without a template."""
        drawn = DRAWN.get(template_name)
        return drawn(context["widget"]) if drawn else super().render(template_name, context, request)
