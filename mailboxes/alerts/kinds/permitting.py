"""What somebody has to permit: addresses, sign-ins, tokens, owners."""

from django.utils.translation import gettext_noop

from mailboxes.alerts.kinds.kind import Kind, Link
from mailboxes.choices import AlertLevel

PERMITTING = (
    Kind(
        "not_approved",
        AlertLevel.ERROR,
        gettext_noop("{mailbox} is waiting for approval"),
        gettext_noop(
            "Email for {address} is neither received nor sent until an administrator approves the address."
        ),
        gettext_noop("Approve the address. The mailbox then goes on by itself."),
        stops=True,
    ),
    Kind(
        "address_approved_by_owner",
        AlertLevel.INFORMATION,
        gettext_noop("The address of {mailbox} was approved by its owner"),
        gettext_noop(
            "{address} is the address of the owner's account, so it was approved when they tested the "
            "mailbox."
        ),
        "",
        (Link.MAILBOX,),
    ),
    Kind(
        "taken_over",
        AlertLevel.ERROR,
        gettext_noop("{mailbox} is synchronized elsewhere now"),
        gettext_noop(
            "{person} ran Test & Enable for {address} in another environment and took it over. Email "
            "is neither "
            "received nor sent here any more."
        ),
        gettext_noop(
            "If that was a mistake, run Test & Enable here with “Sync items from this environment "
            "only” ticked."
        ),
        stops=True,
    ),
    Kind(
        "sign_ins_paused",
        AlertLevel.ERROR,
        gettext_noop("Sign-ins at {host} are paused"),
        gettext_noop(
            "Too many sign-ins of this installation were refused there within minutes. Servers shut out "
            "whoever goes on like that, so no mailbox of this host receives or sends; one tries again at "
            "{retry_at}."
        ),
        gettext_noop(
            "Correct the credentials of the mailboxes that were refused, and test one of them. The first "
            "success ends the pause by itself."
        ),
        (Link.PROFILE,),
    ),
    Kind(
        "credentials_redirected",
        AlertLevel.WARNING,
        gettext_noop("Mailboxes of {profile} send their credentials to {hosts} now"),
        gettext_noop(
            "{person} changed the server profile. {number} mailboxes keep credentials of their own, which "
            "sign in there as soon as the mailboxes are tested."
        ),
        gettext_noop(
            "Nothing to do if this was agreed. Otherwise deactivate the server profile, change the passwords "
            "and withdraw the permissions."
        ),
        (Link.PROFILE,),
    ),
    Kind(
        "email_redirected",
        AlertLevel.WARNING,
        gettext_noop("Email of mailboxes of {profile} goes through {hosts} now"),
        gettext_noop(
            "{person} changed the server profile, which signs in with an account of its own. {number} "
            "mailboxes receive and send there as soon as they are tested, and whoever runs that server can "
            "read what they send."
        ),
        gettext_noop(
            "Nothing to do if this was agreed. Otherwise deactivate the server profile and have its location "
            "and account put back."
        ),
        (Link.PROFILE,),
    ),
    Kind(
        "oauth_secret_expiring",
        AlertLevel.WARNING,
        gettext_noop("The client secret of {profile} expires on {date}"),
        gettext_noop("From then on none of the mailboxes of this server profile receives or sends email."),
        gettext_noop(
            "Make a new client secret where the application is registered, and enter it with its new date "
            "in the server profile."
        ),
        (Link.PROFILE,),
    ),
    Kind(
        "oauth_expiring",
        AlertLevel.WARNING,
        gettext_noop("The permission to open {mailbox} ends on {date}"),
        gettext_noop("{cause} From then on the mailbox receives and sends no email."),
        "{remedy}",
    ),
    Kind(
        "owner_without_role",
        AlertLevel.ERROR,
        gettext_noop("The owner of {mailbox} may not work with it"),
        gettext_noop(
            "{cause} Email is received and sent all the same, but the owner sees neither the alerts nor the "
            "email of the mailbox and cannot enter its credentials."
        ),
        gettext_noop("Give the owner a role under People and roles, or the mailbox another owner."),
        (Link.MAILBOX, Link.PEOPLE),
        gathered_as="owners_without_role",
    ),
    Kind(
        "owners_without_role",
        AlertLevel.ERROR,
        gettext_noop("Owners of {members} of {profile} may not work with them"),
        gettext_noop(
            "They have no role in this environment, or their accounts are switched off. Email is received "
            "and sent all the same, but the owners see neither the alerts nor the email of their mailboxes."
        ),
        gettext_noop("Give the owners a role under People and roles, or the mailboxes other owners."),
        (Link.PEOPLE, Link.PROFILE),
    ),
    Kind(
        "queue_owner_without_role",
        AlertLevel.WARNING,
        gettext_noop("Nobody looks after the queue {mailbox}"),
        gettext_noop(
            "{cause} Email is received and sent all the same, but nobody sees the alerts of the queue except "
            "administrators."
        ),
        gettext_noop("Give the owner a role under People and roles, or the queue another owner."),
        (Link.MAILBOX, Link.PEOPLE),
    ),
)
