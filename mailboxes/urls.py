"""The addresses of mailboxes, their mail, their alerts and the jobs that test them."""

from django.urls import URLPattern, URLResolver, include, path

from mailboxes.views import (
    alerts,
    apply_default,
    approval,
    authorization,
    change_many,
    completeness,
    compose,
    conversation,
    course,
    detection,
    diagnose,
    email_list,
    emails,
    jobs,
    mailbox_files,
    mailbox_form,
    mailbox_list,
    outgoing_page,
    profile_mailboxes,
    received_commands,
    search,
    sender,
)

received: list[URLPattern | URLResolver] = [
    path("", emails.message_detail, name="message_detail"),
    path("html/", emails.message_html, name="message_html"),
    path("commands/", received_commands.message_command, name="message_command"),
    path("raw/", emails.message_raw, name="message_raw"),
    path("attachments/<int:position>/", emails.message_attachment, name="message_attachment"),
    path("html/images/", emails.message_html_with_images, name="message_html_with_images"),
    path("body/", conversation.message_body, name="message_body"),
    path("reply/", compose.email_reply, name="email_reply"),
    path("reply-all/", compose.email_reply_all, name="email_reply_all"),
    path("forward/", compose.email_forward, name="email_forward"),
]
mail: list[URLPattern | URLResolver] = [
    path("", email_list.mailbox_emails, name="mailbox_emails"),
    path("new/", compose.email_create, name="email_create"),
    path("received/<int:number>/", include(received)),
    path("drafts/<int:number>/", compose.email_draft, name="email_draft"),
    path("sent/<int:number>/", outgoing_page.outgoing_detail, name="outgoing_detail"),
    path("sent/<int:number>/body/", conversation.outgoing_body, name="outgoing_body"),
    path("sent/<int:number>/commands/", outgoing_page.outgoing_command, name="outgoing_command"),
    path(
        "sent/<int:number>/attachments/<int:position>/",
        emails.outgoing_attachment,
        name="outgoing_attachment",
    ),
]

mailboxes: list[URLPattern | URLResolver] = [
    path("", mailbox_list.mailbox_list, name="mailbox_list"),
    path("new/", mailbox_form.mailbox_create, name="mailbox_create"),
    path("import/", mailbox_files.mailbox_import, name="mailbox_import"),
    path("import/template/", mailbox_files.mailbox_template, name="mailbox_template"),
    path("export/", mailbox_files.mailbox_export, name="mailbox_export"),
    path("columns/", mailbox_list.mailbox_columns, name="mailbox_columns"),
    path("new-forward-mailbox/", mailbox_form.forward_mailbox_create, name="forward_mailbox_create"),
    path("commands/", approval.mailbox_command, name="mailbox_command"),
    path("apply-default/", apply_default.mailbox_apply_default, name="mailbox_apply_default"),
    path("diagnose/", diagnose.mailbox_diagnose, name="mailbox_diagnose"),
    path("change/", change_many.mailbox_change_many, name="mailbox_change_many"),
    path("<uuid:pk>/", mailbox_form.mailbox_detail, name="mailbox_detail"),
    path("<uuid:pk>/connection/", authorization.mailbox_connection, name="mailbox_connection"),
    path("<uuid:pk>/connect/", authorization.mailbox_connect, name="mailbox_connect"),
    path("<uuid:pk>/disconnect/", authorization.mailbox_disconnect, name="mailbox_disconnect"),
    path("<uuid:pk>/course/", course.mailbox_course, name="mailbox_course"),
    path("<uuid:pk>/sync-now/", course.mailbox_sync_now, name="mailbox_sync_now"),
    path("<uuid:pk>/tests/", course.mailbox_tests, name="mailbox_tests"),
    path("<uuid:pk>/completeness/", completeness.mailbox_completeness, name="mailbox_completeness"),
    path("<uuid:pk>/delete/", mailbox_form.mailbox_delete, name="mailbox_delete"),
    path("<uuid:pk>/alerts/", alerts.mailbox_alerts, name="mailbox_alerts"),
    path("<uuid:pk>/emails/", include(mail)),
]
testing: list[URLPattern | URLResolver] = [
    path("", jobs.job_list, name="job_list"),
    path("<int:pk>/", jobs.job_detail, name="job_detail"),
    path("<int:pk>/again/", jobs.job_again, name="job_again"),
    path("<int:pk>/cancel/", jobs.job_cancel, name="job_cancel"),
]
environment_mail: list[URLPattern | URLResolver] = [
    path("", email_list.environment_emails, name="environment_emails"),
    path("new/", sender.environment_email_create, name="environment_email_create"),
    path("commands/", email_list.emails_command, name="emails_command"),
    path("conversations/<uuid:number>/", conversation.conversation, name="conversation"),
]
namespaced: list[URLPattern | URLResolver] = [
    path("environments/<slug:slug>/mailboxes/", include(mailboxes)),
    path("environments/<slug:slug>/emails/", include(environment_mail)),
    path("environments/<slug:slug>/server-profiles/detect/", detection.profile_detect, name="profile_detect"),
    path(
        "environments/<slug:slug>/server-profiles/detect/<uuid:pk>/",
        detection.detection_detail,
        name="detection_detail",
    ),
    path(
        "environments/<slug:slug>/server-profiles/<uuid:pk>/diagnose/",
        diagnose.profile_diagnose,
        name="profile_diagnose",
    ),
    path(
        "environments/<slug:slug>/server-profiles/<uuid:pk>/alerts/",
        alerts.profile_alerts,
        name="profile_alerts",
    ),
    path(
        "environments/<slug:slug>/server-profiles/<uuid:pk>/mailboxes/",
        profile_mailboxes.profile_mailboxes,
        name="profile_mailboxes",
    ),
    path(
        "environments/<slug:slug>/server-profiles/<uuid:pk>/move/",
        profile_mailboxes.profile_move,
        name="profile_move",
    ),
    path("environments/<slug:slug>/completeness/", completeness.completeness_list, name="completeness_list"),
    path(
        "environments/<slug:slug>/completeness/count/",
        completeness.completeness_count,
        name="completeness_count",
    ),
    path("environments/<slug:slug>/jobs/", include(testing)),
    path("environments/<slug:slug>/alerts/", alerts.environment_alerts, name="environment_alerts"),
    path("alerts/", alerts.alert_list, name="alert_list"),
    path("alerts/read/", alerts.alert_read, name="alert_read"),
    path("alerts/<int:pk>/mailboxes/", alerts.alert_members, name="alert_members"),
    path("alerts/<int:pk>/conversation/", alerts.alert_transcript, name="alert_transcript"),
    path("alerts/delete/", alerts.alert_delete, name="alert_delete"),
]
urlpatterns = [
    path("", include((namespaced, "mailboxes"))),
    path("oauth/callback/", authorization.oauth_callback, name="oauth_callback"),
    path("search/", search.search, name="search"),
]
