"""The addresses of environments, their server profiles and their email settings."""

from django.urls import URLPattern, URLResolver, include, path

from profiles.views import email_settings, environments, people, profile_commands, profile_form, profile_list

app_name = "profiles"

server_profiles: list[URLPattern | URLResolver] = [
    path("", profile_list.profile_list, name="profile_list"),
    path("new/", profile_form.profile_create, name="profile_create"),
    path("new/full/", profile_form.profile_create, {"full": True}, name="profile_create_full"),
    path("commands/", profile_commands.profile_command, name="profile_command"),
    path("<uuid:pk>/", profile_form.profile_edit, {"full": True}, name="profile_detail"),
    path("<uuid:pk>/edit/", profile_form.profile_edit, name="profile_edit"),
]
environment: list[URLPattern | URLResolver] = [
    path("edit/", environments.environment_edit, name="environment_edit"),
    path("settings/", environments.environment_settings, name="environment_settings"),
    path("server-profiles/", include(server_profiles)),
    path("people/", people.people_list, name="people_list"),
    path("people/add/", people.person_add, name="person_add"),
    path("people/<int:pk>/", people.person_edit, name="person_edit"),
    path("people/<int:pk>/remove/", people.person_remove, name="person_remove"),
    path("email-settings/", email_settings.email_settings, name="email_settings"),
    path("email-tracking/", email_settings.email_tracking, name="email_tracking"),
    path("email-tracking/preview/", email_settings.email_tracking_preview, name="email_tracking_preview"),
]
urlpatterns = [
    path("environments/", environments.environment_list, name="environment_list"),
    path("environments/new/", environments.environment_create, name="environment_create"),
    path("environments/<slug:slug>/", include(environment)),
]
