"""The addresses of mailboxes, their mail, their alerts and the jobs that test them."""

from django.urls import include, path

from mailboxes.views import approval, jobs, mailbox_form, mailbox_list, search

mailboxes = [
    path("", mailbox_list.mailbox_list, name="mailbox_list"),
    path("new/", mailbox_form.mailbox_create, name="mailbox_create"),
    path("commands/", approval.mailbox_command, name="mailbox_command"),
    path("<uuid:pk>/", mailbox_form.mailbox_detail, name="mailbox_detail"),
]
testing = [
    path("", jobs.job_list, name="job_list"),
    path("<int:pk>/", jobs.job_detail, name="job_detail"),
    path("<int:pk>/progress/", jobs.job_progress, name="job_progress"),
    path("<int:pk>/again/", jobs.job_again, name="job_again"),
]
namespaced = [
    path("environments/<slug:slug>/mailboxes/", include(mailboxes)),
    path("environments/<slug:slug>/server-profiles/<uuid:pk>/diagnose/", jobs.profile_diagnose, name="profile_diagnose"),
    path("environments/<slug:slug>/jobs/", include(testing)),
]
urlpatterns = [
    path("", include((namespaced, "mailboxes"))),
    path("search/", search.search, name="search"),
]
