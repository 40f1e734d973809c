"""Addresses that belong to no model."""

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LogoutView
from django.urls import path

from emailsync.web.pages import help_page
from emailsync.web.signin import SignInView

urlpatterns = [
    path("sign-in/", SignInView.as_view(), name="login"),
    path("sign-out/", login_not_required(LogoutView.as_view()), name="logout"),
    path("help/", help_page, name="help"),
]
