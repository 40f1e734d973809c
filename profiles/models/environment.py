"""Environments: places of their own for profiles, settings, mailboxes and people."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.urls import reverse

from profiles.choices import EnvironmentKind
from profiles.models.versioned import Versioned


class Environment(Versioned):
    """A place of its own: profiles, settings and mailboxes that belong together."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=20, choices=EnvironmentKind, default=EnvironmentKind.PRODUCTION)
    #: Made and removed by the demo; nothing else is ever marked so.
    is_demo = models.BooleanField(default=False, editable=False)

    #: What the person at hand may do here, set by `profiles.access.enter` for services and templates.
    may: frozenset[str] = frozenset()

    class Meta:
        ordering: ClassVar[list[str]] = ["name"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(kind__in=EnvironmentKind.values), name="environment_kind"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """Return the address of this environment's settings."""
        return reverse("profiles:environment_settings", args=[self.slug])
