"""People of an environment: who has which role in it."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from profiles.choices import Role
from profiles.models.environment import Environment


class Membership(models.Model):
    """One role of one person in one environment. What a role may do stands in `profiles.access`."""

    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=30, choices=Role)
    #: The two permissions on the mailbox table, for the role that leaves them open (Mailbox Administrator).
    may_read_mailboxes = models.BooleanField("read on Mailbox", default=True)
    may_write_mailboxes = models.BooleanField("write on Mailbox", default=True)
    #: Subjects, people and bodies of everybody's email. No administrator has it unless it is given.
    may_read_email = models.BooleanField("read email", default=False)
    created_on = models.DateTimeField(auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        ordering: ClassVar[list[str]] = ["environment", "user", "role"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["environment", "user", "role"], name="one_membership_per_role"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} is {self.role} in {self.environment_id}"
