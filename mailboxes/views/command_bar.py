"""The commands above the list of mailboxes: only what exists and what the person may do."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from mailboxes.models import Mailbox
from profiles.access import Permission
from profiles.models import Environment

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


@dataclass(frozen=True)
class Command:
    """A command of the bar. What does not fit, the higher `fit` first, goes under More Commands."""

    title: "_StrOrPromise"
    icon: str
    needs: Permission
    fit: int
    #: Posted with the selection; or else `url_name` is opened.
    action: str = ""
    url_name: str = ""
    url: str = ""
    #: Shown instead of the title where room is scarce.
    short: "_StrOrPromise" = ""
    #: The page of a command that is not a dialog.
    is_page: bool = False


COMMANDS = (
    Command(
        _("New mailbox"),
        "plus",
        Permission.WRITE_MAILBOXES,
        0,
        url_name="mailboxes:mailbox_create",
        short=_("New"),
    ),
    Command(_("Edit"), "edit", Permission.WRITE_MAILBOXES, 1, action="edit"),
    Command(
        _("Test & Enable Mailboxes"),
        "play",
        Permission.DIAGNOSE,
        0,
        action="diagnose",
        short=_("Test & Enable"),
    ),
    Command(
        _("Apply Default Email Settings"),
        "mail-gear",
        Permission.WRITE_MAILBOXES,
        4,
        action="apply_default",
        url_name="mailboxes:mailbox_apply_default",
    ),
    Command(_("Approve Email"), "mail-check", Permission.APPROVE, 2, action="approve"),
    Command(_("Reject Email"), "mail-x", Permission.APPROVE, 3, action="reject"),
    Command(_("Activate"), "power", Permission.WRITE_MAILBOXES, 6, action="activate"),
    Command(_("Deactivate"), "minus", Permission.WRITE_MAILBOXES, 6, action="deactivate"),
    Command(
        _("New Forward Mailbox"),
        "mail-arrow",
        Permission.WRITE_MAILBOXES,
        9,
        url_name="mailboxes:forward_mailbox_create",
    ),
    Command(
        _("Import"),
        "upload",
        Permission.WRITE_MAILBOXES,
        9,
        url_name="mailboxes:mailbox_import",
        is_page=True,
    ),
)


def commands_for(environment: Environment, *, user: User) -> list[Command]:
    """Return the commands that `user` may give in `environment`; what has no address yet is left out."""
    may = environment.may
    if may_diagnose_some(environment, user=user):
        may |= {Permission.DIAGNOSE}
    offered = [command for command in COMMANDS if command.needs in may]
    return [
        replace(command, url=url) for command in offered if (url := _url(command, environment)) is not None
    ]


def may_diagnose_some(environment: Environment, *, user: User) -> bool:
    """Say whether `user` may test mailboxes of `environment`: everybody may test those that are theirs."""
    if Permission.DIAGNOSE in environment.may:
        return True
    return Mailbox.objects.filter(environment=environment, owner=user).exists()


def _url(command: Command, environment: Environment) -> str | None:
    if not command.url_name:
        return ""
    try:
        return reverse(command.url_name, args=[environment.slug])
    except NoReverseMatch:
        return None
