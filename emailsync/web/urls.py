"""Addresses that belong to no model."""

from django.conf import settings
from django.urls import path
from django.views.generic import RedirectView

from emailsync.web.account import account
from emailsync.web.pages import help_page
from emailsync.web.signin import SignInView, SignOutView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name=settings.LOGIN_REDIRECT_URL), name="home"),
    path("sign-in/", SignInView.as_view(), name="login"),
    path("sign-out/", SignOutView.as_view(), name="logout"),
    path("account/", account, name="account"),
    path("help/", help_page, name="help"),
]
