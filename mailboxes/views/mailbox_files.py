"""Mailboxes from and to CSV files: the template, a check that writes nothing, the import, the export."""

import base64
import binascii
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast

from django import forms
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_http_methods, require_safe

from emailsync.crypto.keyring import SecretUnreadable, keyring
from emailsync.web.channel import is_protected
from emailsync.web.forms import Check, ConsoleForm
from emailsync.web.responses import redirect_response, saved_response
from mailboxes.choices import AddressStatus, ResultStatus, RunState
from mailboxes.engine import sheet
from mailboxes.engine.importing import COLUMNS, EXAMPLE, Plan
from mailboxes.engine.uploading import Upload
from mailboxes.services import importing
from mailboxes.views.mailbox_list import chosen_columns
from mailboxes.views.mailbox_listing import listing_of
from profiles.access import Permission, enter
from profiles.choices import ActMethod, OutgoingMethod
from profiles.models import Environment

#: Complaints on the page; the rest is counted.
SHOWN = 200


class ImportForm(ConsoleForm, forms.Form):
    """A file, and whether it may change what exists."""

    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        error_messages={
            "required": gettext_lazy("Choose the file to import."),
            "empty": gettext_lazy("The file is empty. Start from the template."),
        },
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
    )
    updates = forms.BooleanField(
        label=gettext_lazy("Update existing mailboxes"),
        help_text=gettext_lazy("They are matched by address. Empty cells leave them as they are."),
        required=False,
        widget=Check(),
    )


@require_http_methods(["GET", "HEAD", "POST"])
def mailbox_import(request: HttpRequest, slug: str) -> HttpResponse:
    """Check a file and show what it would do, or everything that is wrong with it; then import it."""
    user = cast("User", request.user)
    environment = enter(user, slug, Permission.WRITE_MAILBOXES)
    if request.method != "POST":
        return _page(request, environment, ImportForm())
    try:
        if "sealed" in request.POST:
            return _import(request, environment, user=user)
        return _check(request, environment, user=user)
    except sheet.Unreadable as error:
        form = ImportForm({"updates": request.POST.get("updates", "")}, request.FILES)
        form.add_error("file", str(error))
        return _page(request, environment, form)


def _check(request: HttpRequest, environment: Environment, *, user: User) -> HttpResponse:
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, environment, form)
    file = form.cleaned_data["file"]
    # One byte more than allowed is enough to refuse it.
    content = file.read(sheet.LARGEST + 1)
    upload = _upload(request, content, updates=form.cleaned_data["updates"])
    plan = None
    if len(upload.lines) <= importing.DIRECTLY:
        plan = importing.judge(upload, environment=environment, by=user)
    sealed = _seal(content, environment, user=user) if plan is None or plan.is_good else ""
    return _page(request, environment, form, upload=upload, plan=plan, sealed=sealed, file_name=file.name)


def _upload(request: HttpRequest, content: bytes, *, updates: bool) -> Upload:
    return Upload(content, updates=updates, takes_credentials=is_protected(request))


def _import(request: HttpRequest, environment: Environment, *, user: User) -> HttpResponse:
    content = _unseal(request.POST["sealed"], environment, user=user)
    upload, now = _upload(request, content, updates="updates" in request.POST), timezone.now()
    if len(upload.lines) > importing.DIRECTLY:
        job = importing.start(
            upload,
            environment=environment,
            by=user,
            now=now,
            imports="check" not in request.POST,
            title=request.POST.get("name", "").replace("\0", ""),
        )
        return redirect_response(request, job.get_absolute_url())
    try:
        plan = importing.carry_out(upload, environment=environment, by=user, now=now)
    except IntegrityError as error:
        raise sheet.Unreadable(
            _("Somebody created one of these mailboxes meanwhile. Nothing was imported: check again.")
        ) from error
    if not plan.is_good:
        return _page(request, environment, ImportForm(), upload=upload, plan=plan)
    return _imported(request, environment, plan)


def _imported(request: HttpRequest, environment: Environment, plan: Plan) -> HttpResponse:
    created, changed = len(plan.created), len(plan.existing)
    title = ngettext("%(number)s mailbox created", "%(number)s mailboxes created", created) % {
        "number": f"{created:,}"
    }
    words = ngettext("%(number)s updated.", "%(number)s updated.", changed) % {"number": f"{changed:,}"}
    following = _("Next: approve the addresses, then test and enable the mailboxes.")
    text = " ".join([words] * bool(changed or not created) + [following] * bool(created))
    url = reverse("mailboxes:mailbox_list", args=[environment.slug])
    view = "untested" if created else "all"
    return saved_response(request, f"{url}?view={view}", title=title, text=text, leave=True)


def _page(
    request: HttpRequest,
    environment: Environment,
    form: ImportForm,
    *,
    upload: Upload | None = None,
    plan: Plan | None = None,
    sealed: str = "",
    file_name: str | None = None,
) -> HttpResponse:
    complaints = plan.complaints if plan else []
    context = {
        "environment": environment,
        "form": form,
        "plan": plan,
        "rows": len(upload.lines) if upload else 0,
        "ignored": upload.ignored if upload else [],
        "sealed": sealed,
        "file_name": file_name,
        "complaints": complaints[:SHOWN],
        "further": max(len(complaints) - SHOWN, 0),
        "rows_wrong": len({complaint.line for complaint in complaints}),
        "columns": COLUMNS,
        "locked": not is_protected(request),
    }
    refused = bool(complaints) or (form.is_bound and bool(form.errors))
    return render(request, "mailboxes/mailbox_import.html", context, status=422 if refused else 200)


# The checked file goes with the page, sealed: nothing of it stays on the server, and passwords in it can be
# read by nobody but this console, for this person, in this environment.


def _bound_to(environment: Environment, user: User) -> str:
    return f"import:{environment.pk}:{user.pk}"


def _seal(content: bytes, environment: Environment, *, user: User) -> str:
    packed = base64.b64encode(zlib.compress(content)).decode()
    return keyring().seal(packed, bound_to=_bound_to(environment, user))


def _unseal(token: str, environment: Environment, *, user: User) -> bytes:
    try:
        packed = keyring().open(token, bound_to=_bound_to(environment, user))
        return zlib.decompress(base64.b64decode(packed))
    except (SecretUnreadable, zlib.error, binascii.Error) as error:
        raise sheet.Unreadable(_("The checked file is no longer valid. Choose it again.")) from error


@require_safe
def mailbox_template(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Give a file to start from: the head and one example."""
    environment = enter(cast("User", request.user), slug, Permission.WRITE_MAILBOXES)
    rows = [COLUMNS, EXAMPLE]
    return _download(sheet.write(rows), name=f"{environment.slug}-mailboxes-template.csv")


@require_safe
def mailbox_export(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Give the rows and columns that the list shows, on all pages, as a file."""
    user = cast("User", request.user)
    environment = enter(user, slug)
    listing = listing_of(environment, user=user, state=request.GET, columns=chosen_columns(request))
    shown = [column for column in listing.shown_columns if column.name in CELLS]
    names = [column.name for column in shown]
    # The name stands with its address in the list; in a file each has its own column.
    if "address" not in names:
        names.insert(1, "address")
    # What can be imported again is named as there; the rest is ignored by an import.
    titles = {column.name: IMPORTED.get(column.name, str(column.title)) for column in listing.columns}

    def rows() -> Iterator[list[str]]:
        yield [titles[name] for name in names]
        for mailbox in listing.every_row():
            yield [CELLS[name](mailbox) for name in names]

    return _download(sheet.write(rows()), name=f"{environment.slug}-mailboxes.csv")


def _download(content: Iterator[bytes], *, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )


def _moment(value: datetime | None) -> str:
    return timezone.localtime(value).isoformat(sep=" ", timespec="minutes") if value else ""


def _result(mailbox: Any, direction: str) -> str:
    method, status = getattr(mailbox, direction), getattr(mailbox, f"{direction}_status")
    return str(OutgoingMethod.NONE.label if method == OutgoingMethod.NONE else ResultStatus(status).label)


RUNS = dict(RunState.choices)
#: What a column of the list says in a file.
CELLS: dict[str, Callable[[Any], str]] = {
    "name": lambda mailbox: mailbox.name,
    "address": lambda mailbox: mailbox.address,
    "regarding": lambda mailbox: mailbox.kind,
    "owner": lambda mailbox: mailbox.owner__username or "",
    "profile": lambda mailbox: mailbox.profile_name or "",
    "approval": lambda mailbox: str(AddressStatus(mailbox.address_status).label),
    "incoming": lambda mailbox: _result(mailbox, "incoming"),
    "outgoing": lambda mailbox: _result(mailbox, "outgoing"),
    "act": lambda mailbox: str(ActMethod(mailbox.act).label),
    "run": lambda mailbox: str(RUNS.get(mailbox.run_state, ResultStatus.NOT_RUN.label)),
    "tested": lambda mailbox: _moment(mailbox.tested_on),
    "start": lambda mailbox: _moment(mailbox.process_email_from),
    "approved_by": lambda mailbox: mailbox.approved_by__username or "",
    "approved_on": lambda mailbox: _moment(mailbox.approved_on),
    "attempted_by": lambda mailbox: mailbox.attempted_by or "",
    "attempted_on": lambda mailbox: _moment(mailbox.attempted_on),
    "status": lambda mailbox: "yes" if mailbox.is_active else "no",
}
#: The columns of the list that an import takes, with their names there.
IMPORTED = {
    "name": "name",
    "address": "address",
    "regarding": "kind",
    "owner": "owner",
    "profile": "server_profile",
    "start": "process_email_from",
    "status": "is_active",
}
