"""Every address of the console."""

from django.urls import include, path

from emailsync import health

urlpatterns = [
    path("health/live", health.live, name="health_live"),
    path("health/ready", health.ready, name="health_ready"),
    path("", include("emailsync.web.urls")),
    path("", include("profiles.urls")),
    path("", include("mailboxes.urls")),
]

handler400 = "emailsync.web.errors.bad_request"
handler403 = "emailsync.web.errors.permission_denied"
handler404 = "emailsync.web.errors.page_not_found"
handler500 = "emailsync.web.errors.server_error"
