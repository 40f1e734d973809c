"""Ask for Test & Enable. The asking writes rows; a worker's clock finds them."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Lower

from mailboxes import access
from mailboxes.choices import AddressStatus, MailboxKind
from mailboxes.engine import approving, claiming, orders
from mailboxes.models import Alert, Job, Mailbox, SyncClaim, WorkerState
from mailboxes.services import editing
from profiles.access import Permission, refusal
from profiles.choices import AuthenticationType, IncomingMethod, OutgoingMethod
from profiles.models import EmailSettings, Environment, ServerProfile


@dataclass(frozen=True)
class Outlook:
    """What can be said before a test: how many mailboxes cannot succeed, and why."""

    total: int
    inactive: int
    unapproved: int
    without_profile: int
    without_method: int
    #: The server profile signs in with the mailbox's credentials, of which there are none.
    without_credentials: int
    #: Another environment synchronizes the address.
    held_elsewhere: int
    #: The test approves the address: it is the person's own.
    approved_on_the_way: int

    @property
    def has_obstacles(self) -> bool:
        """Say whether some will fail for certain."""
        return any(
            (
                self.inactive,
                self.unapproved,
                self.without_profile,
                self.without_method,
                self.without_credentials,
            )
        )


def look_ahead(mailboxes: QuerySet[Mailbox], *, environment: Environment, person: User) -> Outlook:
    """Return what is known beforehand about a test of `mailboxes` by `person`, whatever their number."""
    own = Q(pk__in=approving.own_pending(mailboxes.order_by(), person).values("pk"))
    settings = EmailSettings.objects.filter(environment=environment).first() or EmailSettings()
    needs_approval = Q(pk__in=[])
    if settings.process_only_approved_users:
        needs_approval |= Q(kind=MailboxKind.USER)
    if settings.process_only_approved_queues:
        needs_approval |= ~Q(kind=MailboxKind.USER)
    is_held = SyncClaim.objects.exclude(environment=environment).filter(address=Lower(OuterRef("address")))
    by_mailbox = Q(server_profile__authentication_type=AuthenticationType.BY_USER_OR_QUEUE) | Q(
        server_profile__use_same_settings_for_outgoing=False,
        server_profile__outgoing_authentication_type=AuthenticationType.BY_USER_OR_QUEUE,
    )
    numbers = mailboxes.order_by().aggregate(
        total=Count("pk"),
        inactive=Count("pk", filter=Q(is_active=False)),
        unapproved=Count("pk", filter=needs_approval & ~Q(address_status=AddressStatus.APPROVED) & ~own),
        without_profile=Count(
            "pk", filter=Q(server_profile__isnull=True) | Q(server_profile__is_active=False)
        ),
        without_method=Count(
            "pk", filter=~Q(incoming=IncomingMethod.SERVER_SIDE) & ~Q(outgoing=OutgoingMethod.SERVER_SIDE)
        ),
        without_credentials=Count("pk", filter=by_mailbox & Q(allow_credentials=False)),
        held_elsewhere=Count("pk", filter=Exists(is_held)),
        approved_on_the_way=Count("pk", filter=own),
    )
    return Outlook(**numbers)


def stopped(mailboxes: QuerySet[Mailbox]) -> QuerySet[Mailbox]:
    """Return those of `mailboxes` that worked until a failure stopped them."""
    return mailboxes.filter(Exists(WorkerState.objects.stopped().filter(mailbox=OuterRef("pk"))))


def stopped_by(alert: Alert, mailboxes: QuerySet[Mailbox]) -> QuerySet[Mailbox]:
    """Return those of `mailboxes` that the alert of a profile gathers and that have not recovered."""
    return mailboxes.filter(pk__in=Alert.objects.open().filter(parent=alert).values("mailbox"))


@transaction.atomic
def start(
    mailboxes: QuerySet[Mailbox],
    *,
    environment: Environment,
    by: User | None,
    now: datetime,
    server_profile: ServerProfile | None = None,
    takes_over: bool = False,
    start_date: datetime | None = None,
) -> Job:
    """Write a job that tests each mailbox that `by` may test; without any it is finished at once.

    Only those of `mailboxes` are tested with which `by` may do that. `takes_over` is the box "Sync items …
    from this environment only": addresses that another environment synchronizes become this one's, and the
    other is told. The pending address of one's own mailbox is approved on the way where that is one's own
    to do. `start_date` ("Start date for incoming email") goes with a test of one mailbox alone, and becomes
    its Process Email From; `rules.start_date_error` says beforehand what is wrong with one. Raises
    PermissionDenied when `by` may test none, or not take over what they ask for, and StartTooEarly.
    """
    asked = mailboxes
    mailboxes = access.within(asked, by, Permission.DIAGNOSE, environment=environment)
    if takes_over and not claiming.may_take_over(mailboxes, environment=environment, by=by):
        raise refusal(Permission.WRITE_MAILBOXES)
    if takes_over and not claiming.may_stop_others(by, environment):
        # What somebody else claims before the test runs stays theirs.
        takes_over = claiming.held_elsewhere(mailboxes, environment).exists()
    if start_date is not None:
        editing.set_start(mailboxes.select_related("server_profile").get(), start_date, by=by, now=now)
    pks = mailboxes.order_by(Lower("name"), "pk").values_list("pk", flat=True)
    if by is not None and not pks.exists() and asked.exists():
        raise refusal(Permission.DIAGNOSE)
    job = orders.start_tests(
        pks,
        environment=environment,
        by=by,
        now=now,
        server_profile=server_profile,
        takes_over=takes_over,
    )
    if by is not None:
        # Only now: `mailboxes` may be those that wait for approval.
        approving.approve_own(mailboxes, by=by, now=now)
    return job
