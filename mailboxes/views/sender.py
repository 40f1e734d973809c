"""Choose the mailbox that a new email is sent from."""

from django.db.models import Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from emailsync.web.listing import LONGEST_QUERY
from emailsync.web.responses import dialog_response, is_fragment
from mailboxes import access
from mailboxes.models import Mailbox
from mailboxes.views.conversation import reader_of
from mailboxes.views.email_listing import EmailListing
from profiles import access as profiles_access
from profiles.access import Permission

SHOWN = 12


@require_safe
def environment_email_create(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the mailboxes that the person may send from, their own first; a single one needs no choice."""
    environment = profiles_access.enter(request.user, slug)
    mine = Q(owner=request.user.pk)
    found = access.within(
        Mailbox.objects.filter(is_active=True), request.user, Permission.SEND_EMAIL, environment=environment
    )
    query = " ".join(request.GET.get("q", "").replace("\0", "").split())[:LONGEST_QUERY]
    if query:
        found = found.filter(Q(name__icontains=query) | Q(address__icontains=query))
    fields = ("name", "address", "kind", "owner")
    own = list(found.filter(mine).only(*fields).order_by("name", "pk")[: SHOWN + 1])
    others = list(found.exclude(mine).only(*fields).order_by("name", "pk")[: SHOWN + 1])
    mailboxes = [*own, *others]
    if len(mailboxes) == 1 and not query and not is_fragment(request):
        return redirect("mailboxes:email_create", slug, mailboxes[0].pk)
    context = {
        "environment": environment,
        "mailboxes": mailboxes[:SHOWN],
        "is_cut": len(mailboxes) > SHOWN,
        "query": query,
        "dialog_url": request.path,
        "back_url": request.path.removesuffix("new/"),
    }
    if request.headers.get("HX-Target") == "senders":
        return render(request, "mailboxes/_senders.html", context)

    def page() -> tuple[str, dict[str, object]]:
        reader = reader_of(request.user, environment)
        listing = EmailListing(QueryDict(), reader, url=str(context["back_url"]))
        return "mailboxes/environment_emails.html", {"environment": environment, "listing": listing}

    return dialog_response(request, "mailboxes/_sender_dialog.html", context, page=page)
