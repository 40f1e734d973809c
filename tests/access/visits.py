"""The table: every address of the console, what is sent to it, and who gets an answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailboxes.models import Detection
from tests.access.world import NOW, PEOPLE, SIGNED_IN, World

Words = frozenset[str]
Args = Callable[[World], tuple[Any, ...]]
Sent = Callable[[World], Mapping[str, Any]]

EVERYBODY: Words = frozenset(SIGNED_IN)
BELONGS: Words = frozenset({"superuser", *PEOPLE})
SUPERUSER: Words = frozenset({"superuser"})
ADMINISTER: Words = SUPERUSER | {"administrator", "reading administrator"}
MAILBOX_ADMINISTRATORS: Words = frozenset({"mailbox administrator", "reading mailbox administrator"})
READ_SETTINGS: Words = (
    ADMINISTER | MAILBOX_ADMINISTRATORS | {"customizer", "mailbox reader", "mailbox writer", "auditor"}
)
WRITE_SETTINGS: Words = ADMINISTER | {"customizer"}
READ_MAILBOXES: Words = ADMINISTER | MAILBOX_ADMINISTRATORS | {"mailbox reader", "approver", "auditor"}
WRITE_MAILBOXES: Words = ADMINISTER | MAILBOX_ADMINISTRATORS | {"mailbox writer"}
APPROVE: Words = ADMINISTER | {"approver"}
READ_ALERTS: Words = ADMINISTER | MAILBOX_ADMINISTRATORS | {"customizer", "mailbox reader", "auditor"}
#: Whoever writes mailboxes tests them, gives their credentials and deletes their alerts.
DIAGNOSE = CREDENTIALS = DELETE_ALERTS = WRITE_MAILBOXES
READ_EMAIL: Words = SUPERUSER | {"reading administrator", "reading mailbox administrator"}
OWNER: Words = frozenset({"owner"})
NOBODY: Words = frozenset()


@dataclass(frozen=True)
class Visit:
    """One request, and who gets an answer to it."""

    name: str
    #: Who gets an answer. The others of the environment are refused, strangers find nothing.
    allowed: Words
    args: Args
    sent: Sent | None = None
    query: str = ""
    #: Those of the environment to whom the record does not exist.
    blind: Words = NOBODY
    #: What strangers are told: nothing, unless the address is of no environment.
    to_strangers: str = "nothing there"
    about: str = ""

    def __str__(self) -> str:
        """Name the visit in the list of tests."""
        method = "GET" if self.sent is None else "POST"
        return " ".join(word for word in (method, self.name, self.about) if word)

    def expected(self, role: str) -> str:
        """Say what becomes of somebody of this kind."""
        if role == "anonymous":
            return "sign in"
        if role in self.allowed:
            return "answer"
        if role == "stranger":
            return self.to_strangers
        return "nothing there" if role in self.blind else "refusal"


def slug(world: World) -> tuple[str]:
    return (world.here.environment.slug,)


def nothing(world: World) -> tuple[()]:
    return ()


def of_profile(world: World) -> tuple[Any, ...]:
    return (world.here.environment.slug, world.here.profile.pk)


def of_job(world: World) -> tuple[Any, ...]:
    return (world.here.environment.slug, world.here.job.pk)


def of_detection(world: World) -> tuple[Any, ...]:
    found = Detection.objects.create(
        environment=world.here.environment, domain="outside.example", created_on=NOW
    )
    return (world.here.environment.slug, found.pk)


def of_gathered(world: World) -> tuple[Any, ...]:
    return (world.here.gathered.pk,)


def of_conversation(world: World) -> tuple[Any, ...]:
    return (world.here.environment.slug, world.here.received["other"].conversation)


def somebody(world: World) -> tuple[Any, ...]:
    return (world.here.environment.slug, world.people["member"].pk)


def sends(**words: Any) -> Sent:
    return lambda _: words


def get(name: str, allowed: Words, args: Args = slug, **more: Any) -> Visit:
    return Visit(name, allowed, args, **more)


def post(name: str, allowed: Words, args: Args = slug, *, sent: Sent, **more: Any) -> Visit:
    return Visit(name, allowed, args, sent, **more)


def mailbox(
    name: str, allowed: Words, *, sent: Sent | None = None, own: bool = True, then: str = "", **more: Any
) -> list[Visit]:
    """Return the visits to an address below a mailbox: one that is owned, and one that is not.

    `then` names what else the address needs: received, sent, and the position of an attachment.
    """

    def args(which: str) -> Args:
        def of(world: World) -> tuple[Any, ...]:
            place = world.here
            found: list[Any] = [place.environment.slug, getattr(place, which).pk]
            if "received" in then:
                found.append(place.received[which].pk)
            if "sent" in then:
                found.append(place.sent[which].pk)
            if "attachment" in then:
                found.append(0)
            return tuple(found)

        return of

    sees = READ_MAILBOXES | allowed
    about = more.pop("about", "")
    return [
        Visit(
            name,
            allowed | OWNER if own else allowed,
            args("owned"),
            sent,
            blind=BELONGS - sees - OWNER,
            about=f"owned {about}".strip(),
            **more,
        ),
        Visit(
            name, allowed, args("other"), sent, blind=BELONGS - sees, about=f"other {about}".strip(), **more
        ),
    ]


def _ids(*which: str, **words: Any) -> Sent:
    return lambda world: {"ids": [str(getattr(world.here, name).pk) for name in which], **words}


def _command(action: str, allowed: Words) -> list[Visit]:
    name, both = "mailboxes:mailbox_command", ("owned", "other")
    return [
        post(name, allowed, sent=_ids(*both, action=action), about=action),
        post(name, allowed, sent=_ids(*both, action=action, confirm="1"), about=f"{action}, confirmed"),
    ]


def _pk_of(which: str) -> Args:
    return lambda world: (getattr(world.here, which).pk,)


def _alert(which: str) -> Sent:
    return lambda world: {"alert": str(getattr(world.here, which).pk)}


def _on(place: str, **words: Any) -> Sent:
    return lambda world: {"environment": getattr(world, place).environment.slug, **words}


VISITS: list[Visit] = [
    # of nobody
    get("home", EVERYBODY, nothing),
    get("account", EVERYBODY, nothing),
    post("account", EVERYBODY, nothing, sent=sends(form="name", first_name="Al")),
    get("help", EVERYBODY, nothing),
    get("oauth_callback", EVERYBODY, nothing, query="?state=x&code=y"),
    get("search", EVERYBODY, nothing, query="?q=e"),
    get("search", EVERYBODY, nothing, query="?q=example", about="addresses"),
    # environments
    get("profiles:environment_list", EVERYBODY, nothing),
    get("profiles:environment_create", SUPERUSER, nothing, to_strangers="refusal"),
    post(
        "profiles:environment_create",
        SUPERUSER,
        nothing,
        to_strangers="refusal",
        sent=sends(name="Pier", kind="sandbox", version="1"),
    ),
    get("profiles:environment_settings", BELONGS),
    get("profiles:environment_edit", ADMINISTER),
    post("profiles:environment_edit", ADMINISTER, sent=sends(name="Pier", kind="sandbox", version="1")),
    get("profiles:email_settings", READ_SETTINGS),
    post("profiles:email_settings", WRITE_SETTINGS, sent=sends(version="1")),
    get("profiles:email_tracking", READ_SETTINGS),
    post("profiles:email_tracking", WRITE_SETTINGS, sent=sends(version="1", tracking_prefix="")),
    post("profiles:email_tracking_preview", READ_SETTINGS, sent=sends()),
    get("profiles:people_list", READ_SETTINGS),
    get("profiles:person_add", ADMINISTER),
    post("profiles:person_add", ADMINISTER, sent=sends(who="stranger", member="on")),
    get("profiles:person_edit", ADMINISTER, somebody),
    post("profiles:person_edit", ADMINISTER, somebody, sent=sends(system_administrator="on")),
    get("profiles:person_remove", ADMINISTER, somebody),
    post("profiles:person_remove", ADMINISTER, somebody, sent=sends()),
    # server profiles
    get("profiles:profile_list", READ_SETTINGS),
    get("profiles:profile_create", WRITE_SETTINGS),
    post("profiles:profile_create", WRITE_SETTINGS, sent=sends(name="Pier")),
    get("profiles:profile_edit", READ_SETTINGS, of_profile),
    post("profiles:profile_edit", WRITE_SETTINGS, of_profile, sent=sends(name="Pier", version="1")),
    get("profiles:profile_command", READ_SETTINGS),
    post("profiles:profile_command", READ_SETTINGS, sent=_ids("profile", action="edit"), about="edit"),
    post(
        "profiles:profile_command",
        ADMINISTER | WRITE_MAILBOXES,
        sent=_ids("profile", action="diagnose"),
        about="diagnose",
    ),
    *(
        post(
            "profiles:profile_command",
            WRITE_SETTINGS,
            sent=_ids("spare", action=action, **more),
            about=f"{action}{', confirmed' * bool(more)}",
        )
        for action, more in [
            ("default", {}),
            ("activate", {}),
            ("deactivate", {}),
            ("delete", {}),
            ("delete", {"confirm": "1"}),
        ]
    ),
    post("mailboxes:profile_detect", WRITE_SETTINGS, sent=sends(address="ana@example.org")),
    get("mailboxes:detection_detail", WRITE_SETTINGS, of_detection),
    get("profiles:profile_create_full", WRITE_SETTINGS),
    post("profiles:profile_create_full", WRITE_SETTINGS, sent=sends(name="Pier")),
    get("profiles:profile_detail", READ_SETTINGS, of_profile),
    post("profiles:profile_detail", WRITE_SETTINGS, of_profile, sent=sends(name="Pier", version="1")),
    get("mailboxes:profile_mailboxes", READ_SETTINGS & READ_MAILBOXES, of_profile),
    get("mailboxes:profile_move", WRITE_MAILBOXES, of_profile),
    post("mailboxes:profile_move", WRITE_MAILBOXES, of_profile, sent=sends(confirm="1")),
    get("mailboxes:profile_diagnose", DIAGNOSE, of_profile),
    post("mailboxes:profile_diagnose", DIAGNOSE, of_profile, sent=sends(confirm="1")),
    get("mailboxes:profile_alerts", READ_ALERTS, of_profile),
    # mailboxes
    get("mailboxes:mailbox_list", BELONGS),
    get("mailboxes:mailbox_list", BELONGS, query="?view=all&q=example", about="search"),
    get("mailboxes:mailbox_create", WRITE_MAILBOXES),
    post("mailboxes:mailbox_create", WRITE_MAILBOXES, sent=sends(name="Pier", kind="queue")),
    get("mailboxes:mailbox_import", WRITE_MAILBOXES),
    post("mailboxes:mailbox_import", WRITE_MAILBOXES, sent=sends(updates="on")),
    get("mailboxes:mailbox_template", WRITE_MAILBOXES),
    get("mailboxes:mailbox_export", BELONGS, query="?view=all"),
    post("mailboxes:mailbox_columns", BELONGS, sent=sends(columns="name")),
    get("mailboxes:forward_mailbox_create", WRITE_MAILBOXES),
    post("mailboxes:forward_mailbox_create", WRITE_MAILBOXES, sent=sends(name="Pier")),
    get("mailboxes:mailbox_command", BELONGS),
    # They lead to a page, which asks who may see it.
    *_command("edit", BELONGS),
    *_command("diagnose", BELONGS),
    get("mailboxes:mailbox_diagnose", BELONGS),
    post("mailboxes:mailbox_diagnose", BELONGS, sent=_ids("owned", "other")),
    post("mailboxes:mailbox_diagnose", BELONGS, sent=_ids("owned", confirm="1"), about="confirmed"),
    get("mailboxes:mailbox_change_many", WRITE_MAILBOXES),
    post("mailboxes:mailbox_change_many", WRITE_MAILBOXES, sent=_ids("owned", "other")),
    post(
        "mailboxes:mailbox_change_many",
        WRITE_MAILBOXES,
        sent=_ids("owned", "other", confirm="1"),
        about="confirmed",
    ),
    get("mailboxes:mailbox_apply_default", WRITE_MAILBOXES),
    post("mailboxes:mailbox_apply_default", WRITE_MAILBOXES, sent=_ids("owned", "other")),
    post(
        "mailboxes:mailbox_apply_default",
        WRITE_MAILBOXES,
        sent=_ids("owned", "other", confirm="1", test="1"),
        about="confirmed",
    ),
    *_command("apply_default", WRITE_MAILBOXES),
    *_command("approve", APPROVE),
    *_command("reject", APPROVE),
    *_command("activate", WRITE_MAILBOXES),
    *_command("deactivate", WRITE_MAILBOXES),
    *mailbox("mailboxes:mailbox_detail", READ_MAILBOXES),
    *mailbox("mailboxes:mailbox_detail", WRITE_MAILBOXES & READ_MAILBOXES, sent=sends(version="1")),
    *mailbox("mailboxes:mailbox_alerts", READ_ALERTS),
    *mailbox("mailboxes:mailbox_course", READ_MAILBOXES),
    *mailbox("mailboxes:mailbox_connection", READ_MAILBOXES),
    *mailbox("mailboxes:mailbox_connect", CREDENTIALS, sent=sends()),
    *mailbox("mailboxes:mailbox_disconnect", CREDENTIALS, sent=sends()),
    *mailbox("mailboxes:mailbox_tests", READ_MAILBOXES),
    *mailbox("mailboxes:mailbox_completeness", READ_MAILBOXES),
    *mailbox("mailboxes:mailbox_completeness", DIAGNOSE, sent=sends()),
    *mailbox("mailboxes:mailbox_sync_now", DIAGNOSE, sent=sends()),
    *mailbox("mailboxes:mailbox_delete", WRITE_MAILBOXES & READ_MAILBOXES, own=False),
    *mailbox("mailboxes:mailbox_delete", WRITE_MAILBOXES & READ_MAILBOXES, own=False, sent=sends()),
    # Whoever belongs sees and counts what is theirs.
    get("mailboxes:completeness_list", BELONGS),
    post("mailboxes:completeness_count", BELONGS, sent=_ids("owned", "other")),
    # jobs
    get("mailboxes:job_list", BELONGS),
    get("mailboxes:job_detail", READ_MAILBOXES | OWNER, of_job, blind=BELONGS),
    post(
        "mailboxes:job_again",
        DIAGNOSE & READ_MAILBOXES | OWNER,
        of_job,
        blind=BELONGS - READ_MAILBOXES,
        sent=sends(),
    ),
    post(
        "mailboxes:job_cancel",
        DIAGNOSE & READ_MAILBOXES,
        of_job,
        blind=BELONGS - READ_MAILBOXES - OWNER,
        sent=sends(),
    ),
    # alerts
    get("mailboxes:environment_alerts", READ_ALERTS),
    get("mailboxes:alert_members", READ_ALERTS | OWNER, of_gathered, blind=BELONGS),
    get("mailboxes:alert_transcript", DIAGNOSE | OWNER, _pk_of("own_alert"), about="own"),
    get("mailboxes:alert_transcript", DIAGNOSE, _pk_of("other_alert"), about="other"),
    get("mailboxes:alert_list", EVERYBODY, nothing),
    get("mailboxes:alert_list", EVERYBODY, nothing, query="?whose=everybody", about="everybody's"),
    post("mailboxes:alert_read", EVERYBODY, nothing, sent=_alert("other_alert"), about="other"),
    post("mailboxes:alert_read", READ_ALERTS, nothing, sent=_on("here"), about="of the environment"),
    post("mailboxes:alert_delete", EVERYBODY, nothing, sent=_alert("other_alert"), about="other"),
    post("mailboxes:alert_delete", EVERYBODY, nothing, sent=_alert("own_alert"), about="own"),
    post(
        "mailboxes:alert_delete",
        DELETE_ALERTS,
        nothing,
        sent=_on("here", all="1"),
        about="of the environment",
    ),
    # email
    get("mailboxes:environment_emails", BELONGS),
    get("mailboxes:environment_email_create", BELONGS),
    # It takes what is selected, and leaves alone what one may not send from.
    post("mailboxes:emails_command", BELONGS, sent=sends(action="cancel", ids=["out-1", "out-2"])),
    # A conversation exists for those who may read an email of it.
    get("mailboxes:conversation", READ_EMAIL, of_conversation, blind=BELONGS - READ_EMAIL),
    *mailbox("mailboxes:mailbox_emails", READ_EMAIL),
    *mailbox("mailboxes:email_create", READ_EMAIL),
    *mailbox("mailboxes:email_create", READ_EMAIL, sent=sends(to="a@outside.example", subject="s", text="t")),
    *mailbox("mailboxes:message_detail", READ_EMAIL, then="received"),
    *mailbox("mailboxes:message_html", READ_EMAIL, then="received"),
    *mailbox("mailboxes:message_html_with_images", READ_EMAIL, then="received"),
    *mailbox("mailboxes:message_body", READ_EMAIL, then="received"),
    *mailbox("mailboxes:message_raw", READ_EMAIL, then="received"),
    *mailbox("mailboxes:message_command", READ_EMAIL, then="received", sent=sends(action="fetch")),
    *mailbox(
        "mailboxes:message_command",
        READ_EMAIL,
        then="received",
        sent=sends(action="read_again"),
        about="read again",
    ),
    *mailbox("mailboxes:message_attachment", READ_EMAIL, then="received attachment"),
    *mailbox("mailboxes:email_reply", READ_EMAIL, then="received"),
    *mailbox(
        "mailboxes:email_reply", READ_EMAIL, then="received", sent=sends(to="a@outside.example", text="t")
    ),
    *mailbox("mailboxes:email_reply_all", READ_EMAIL, then="received"),
    *mailbox("mailboxes:email_forward", READ_EMAIL, then="received"),
    *mailbox("mailboxes:email_draft", READ_EMAIL, then="sent"),
    *mailbox("mailboxes:outgoing_detail", READ_EMAIL, then="sent"),
    *mailbox("mailboxes:outgoing_body", READ_EMAIL, then="sent"),
    *mailbox("mailboxes:outgoing_attachment", READ_EMAIL, then="sent attachment"),
    *mailbox("mailboxes:outgoing_command", READ_EMAIL, then="sent", sent=sends(action="retry")),
    *mailbox(
        "mailboxes:outgoing_command", READ_EMAIL, then="sent", sent=sends(action="cancel"), about="cancel"
    ),
]
#: Addresses that ask nobody who they are: signing in and out, and the signs of life for the supervisor.
OPEN = {"login", "logout", "health_live", "health_ready"}
