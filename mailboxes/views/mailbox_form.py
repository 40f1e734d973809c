"""Create a mailbox in a panel; edit it on its own page, the General tab."""

from copy import copy
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from emailsync.web.channel import is_protected
from emailsync.web.responses import dialog_response, page_response, saved_response
from mailboxes import access as mailbox_access
from mailboxes.choices import Direction, MailboxKind, OutgoingStatus
from mailboxes.engine import defaults
from mailboxes.engine.eligibility import authentication_type
from mailboxes.forms.mailbox import CreateForwardMailboxForm, CreateMailboxForm, EditMailboxForm
from mailboxes.models import Mailbox, Message, OutgoingMessage, WorkerState
from mailboxes.services import editing
from mailboxes.views.authorization import connection_context
from mailboxes.views.course import course_context, results_context
from mailboxes.views.head import mailbox_head
from mailboxes.views.mailbox_list import list_page
from profiles import access
from profiles.access import Permission
from profiles.choices import AuthenticationType
from profiles.models import ServerProfile, StaleRecord

RECENT = timedelta(days=7)
#: What the owner of a mailbox may fill in without being allowed to change it otherwise.
CREDENTIAL_FIELDS = (*editing.CREDENTIALS, "version")


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_create(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the panel for a new mailbox of a user or queue, or create it and go to its page."""
    return _create(request, slug, MailboxKind.USER, CreateMailboxForm, "mailboxes/_mailbox_create.html")


@require_http_methods(["GET", "HEAD", "POST"])
def forward_mailbox_create(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the panel for a new forward mailbox, or create it and go to its page."""
    template = "mailboxes/_forward_mailbox_create.html"
    return _create(request, slug, MailboxKind.FORWARD, CreateForwardMailboxForm, template)


def _create(
    request: HttpRequest,
    slug: str,
    kind: MailboxKind,
    form_class: type[CreateMailboxForm | CreateForwardMailboxForm],
    template: str,
) -> HttpResponse:
    environment = access.enter(request.user, slug, Permission.WRITE_MAILBOXES)
    user = cast("User", request.user)
    start = defaults.new_mailbox(environment, kind=kind)
    start.owner = user
    form = form_class(request.POST or None, instance=start, credentials_locked=not is_protected(request))
    if request.method == "POST" and form.is_valid() and (mailbox := _made(form, by=user)):
        return saved_response(
            request,
            mailbox.get_absolute_url(),
            title=_("%(name)s was created") % {"name": mailbox.name},
            text=_("Next: approve the address, then test and enable the mailbox."),
            leave=True,
        )
    return dialog_response(
        request,
        template,
        {"environment": environment, "form": form},
        page=lambda: list_page(request, environment, state=request.GET),
        status=422 if form.is_bound else 200,
    )


def _made(form: CreateMailboxForm | CreateForwardMailboxForm, *, by: User) -> Mailbox | None:
    """Create the mailbox, unless somebody did so meanwhile; then the form says so."""
    try:
        return editing.create(form.instance, by=by)
    except editing.AddressTaken as error:
        form.add_error("address", str(error))
        return None


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_detail(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Show the General tab of a mailbox, or save what was changed on it."""
    template, context = detail_page(request, slug, pk)
    form = cast("EditMailboxForm", context["form"])
    if request.method == "POST" and form.is_locked:
        raise access.refusal(Permission.WRITE_MAILBOXES)
    if request.method == "POST" and form.is_valid() and _save(request, form):
        mailbox = form.instance
        closes = "close" in request.POST
        url = reverse("mailboxes:mailbox_list", args=[slug]) if closes else mailbox.get_absolute_url()
        title = _("%(name)s saved") % {"name": mailbox.name}
        return saved_response(request, url, title=title, text=_what_follows(form), leave=True)
    status = 422 if form.is_bound else 200
    return page_response(request, template, "mailboxes/_mailbox_form.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_delete(request: HttpRequest, slug: str, pk: UUID) -> HttpResponse:
    """Ask whether a mailbox is to be deleted with all that is stored for it, or delete it."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.READ_MAILBOXES, tab="general")
    mailbox_access.require(request.user, Permission.WRITE_MAILBOXES, mailbox)
    if request.method == "POST":
        editing.delete(mailbox, by=cast("User", request.user), now=timezone.now())
        title = _("%(name)s was deleted") % {"name": mailbox.name}
        return saved_response(
            request, reverse("mailboxes:mailbox_list", args=[slug]), title=title, leave=True
        )
    waiting = [OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING]
    context = {
        **head,
        "stored": Message.objects.filter(mailbox=mailbox).count(),
        "waiting": OutgoingMessage.objects.filter(mailbox=mailbox, status__in=waiting).count(),
        "back_url": mailbox.get_absolute_url(),
    }
    return dialog_response(
        request, "mailboxes/_mailbox_delete.html", context, page=lambda: detail_page(request, slug, pk)
    )


def detail_page(
    request: HttpRequest, slug: str, pk: UUID, *, is_bound: bool = True
) -> tuple[str, dict[str, Any]]:
    """Return the template and context of the General tab; dialogs stand on it when there is no script."""
    mailbox, head = mailbox_head(request.user, slug, pk, Permission.READ_MAILBOXES, tab="general")
    now, user = timezone.now(), cast("User", request.user)
    data = request.POST if request.method == "POST" and is_bound else None
    # A refused form leaves typed values on its instance; the head goes on showing what is saved.
    form = EditMailboxForm(
        data, instance=copy(mailbox), by=user, credentials_locked=not is_protected(request)
    )
    if Permission.WRITE_MAILBOXES not in mailbox.may:
        form.lock(but=CREDENTIAL_FIELDS if Permission.GIVE_CREDENTIALS in mailbox.may else ())
    context = {
        **head,
        **course_context(mailbox, now=now),
        **results_context(mailbox),
        **connection_context(mailbox, now=now),
        "form": form,
        "unused_by": _unused_by(mailbox),
        "recent": recent_numbers(mailbox, now=now),
    }
    return "mailboxes/mailbox_detail.html", context


def _unused_by(mailbox: Mailbox) -> ServerProfile | None:
    """Return the server profile of `mailbox` when it does not sign in with the mailbox's own credentials."""
    profile = mailbox.server_profile
    if profile is None:
        return None
    kinds = {authentication_type(profile, direction) for direction in Direction}
    return None if AuthenticationType.BY_USER_OR_QUEUE in kinds else profile


def _save(request: HttpRequest, form: EditMailboxForm) -> bool:
    """Save the mailbox unless somebody else did meanwhile; then the form says so and keeps what was typed."""
    try:
        editing.update(form.instance, by=cast("User", request.user))
    except editing.AddressTaken as error:
        form.add_error("address", str(error))
        return False
    except StaleRecord:
        form.meet(Mailbox.objects.select_related("modified_by").get(pk=form.instance.pk))
        return False
    return True


def _what_follows(form: EditMailboxForm) -> str:
    """Say what a change has set back."""
    changed = set(form.changed_data)
    if "address" in changed:
        return _("The new address waits for approval, and the mailbox must be tested again.")
    if "server_account" in changed:
        return _("The address waits for approval again, and the mailbox must be tested again.")
    if WorkerState.objects.due(timezone.now()).filter(mailbox=form.instance, is_enabled=False).exists():
        return _("It is tested again by itself now.")
    if changed & {"server_profile", "incoming", "outgoing", "allow_credentials", "user_name", "password"}:
        return _("Test and enable the mailbox again: the change has reset its test results.")
    return ""


def recent_numbers(mailbox: Mailbox, *, now: datetime) -> dict[str, int]:
    """Count what came and went in the last seven days, and what still waits."""
    since = now - RECENT
    received = Message.objects.filter(mailbox=mailbox, received_at__gte=since).count()
    outgoing = OutgoingMessage.objects.filter(mailbox=mailbox).aggregate(
        sent=Count("pk", filter=Q(status=OutgoingStatus.SENT, sent_at__gte=since)),
        waiting=Count("pk", filter=Q(status__in=[OutgoingStatus.PENDING_SEND, OutgoingStatus.SENDING])),
        failed=Count("pk", filter=Q(status__in=[OutgoingStatus.FAILED, OutgoingStatus.UNCERTAIN])),
    )
    return {"received": received, **outgoing}
