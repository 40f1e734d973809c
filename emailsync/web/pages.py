"""Pages that are about the console itself."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def help_page(request: HttpRequest) -> HttpResponse:
    """Explain the words of the console and what to do when something does not work."""
    return render(request, "help.html")
