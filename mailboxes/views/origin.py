"""Where a command on mailboxes was given, and so where its dialog stands and leads back to."""

from django.http import HttpRequest
from django.urls import reverse

from emailsync.web.responses import Page
from mailboxes.views.mailbox_form import detail_page
from mailboxes.views.mailbox_list import list_page
from mailboxes.views.selection import Selection


def is_from_page(request: HttpRequest) -> bool:
    """Say whether the command was given on a mailbox's own page, and not in the list."""
    return request.POST.get("from") == "mailbox"


def back_url(request: HttpRequest, selection: Selection) -> str:
    """Return the address of that page, or of the list as it was shown."""
    if is_from_page(request):
        pk = selection.names(1)[0].pk
        return reverse("mailboxes:mailbox_detail", args=[selection.environment.slug, pk])
    return selection.list_url


def page_below(request: HttpRequest, selection: Selection) -> Page:
    """Return the page that the dialog stands on when there is no script."""
    environment = selection.environment
    if is_from_page(request):
        pk = selection.names(1)[0].pk
        return lambda: detail_page(request, environment.slug, pk, is_bound=False)
    return lambda: list_page(request, environment, state=selection.state)
