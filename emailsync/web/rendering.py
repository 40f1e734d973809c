"""Forms drawn with the console's templates."""

from pathlib import Path

import django.forms
from django.conf import settings
from django.forms.renderers import DjangoTemplates
from django.template.backends.django import DjangoTemplates as TemplatesBackend
from django.utils.functional import cached_property

from emailsync.web.forms import ConsoleBoundField


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
