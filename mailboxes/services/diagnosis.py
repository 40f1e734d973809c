"""Ask for Test & Enable. The asking writes rows; a worker's clock finds them."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Value, Window
from django.db.models.functions import Lower, RowNumber

from mailboxes import access
from mailboxes.choices import AddressStatus, MailboxKind, RunState
from mailboxes.models import Diagnosis, Job, Mailbox, SyncClaim
from mailboxes.services import approval, editing
from profiles.access import Permission, refusal
from profiles.choices import IncomingMethod, OutgoingMethod
from profiles.models import EmailSettings, Environment, ServerProfile


@dataclass(frozen=True)
class Outlook:
    """What can be said before a test: how many mailboxes cannot succeed, and why."""

    total: int
    inactive: int
    unapproved: int
    without_profile: int
    without_method: int
    #: Another environment synchronizes the address.
    held_elsewhere: int
    #: The test approves the address: it is the person's own.
    approved_on_the_way: int

    @property
    def has_obstacles(self) -> bool:
        """Say whether some will fail for certain."""
        return bool(self.inactive or self.unapproved or self.without_profile or self.without_method)


def look_ahead(mailboxes: QuerySet[Mailbox], *, environment: Environment, person: User) -> Outlook:
    """Return what is known beforehand about a test of `mailboxes` by `person`, whatever their number."""
    own = Q(pk__in=approval.own_pending(mailboxes.order_by(), person).values("pk"))
    settings = EmailSettings.objects.filter(environment=environment).first() or EmailSettings()
    needs_approval = Q(pk__in=[])
    if settings.process_only_approved_users:
        needs_approval |= Q(kind=MailboxKind.USER)
    if settings.process_only_approved_queues:
        needs_approval |= ~Q(kind=MailboxKind.USER)
    is_held = SyncClaim.objects.exclude(environment=environment).filter(address=Lower(OuterRef("address")))
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
        held_elsewhere=Count("pk", filter=Exists(is_held)),
        approved_on_the_way=Count("pk", filter=own),
    )
    return Outlook(**numbers)


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
    """Write a job with one diagnosis per mailbox that `by` may test; without any it is finished at once.

    Only those of `mailboxes` are tested with which `by` may do that. `takes_over` is the box "Sync items …
    from this environment only": addresses that another environment synchronizes become this one's, and the
    other is told. The pending address of one's own mailbox is approved on the way where that is one's own
    to do. `start_date` ("Start date for incoming email") goes with a test of one mailbox alone, and becomes
    its Process Email From; `rules.start_date_error` says beforehand what is wrong with one. Raises
    PermissionDenied when `by` may test none, and StartTooEarly.
    """
    asked = mailboxes
    mailboxes = access.within(asked, by, Permission.DIAGNOSE, environment=environment)
    if by is not None:
        approval.approve_own(mailboxes, by=by, now=now)
    if start_date is not None:
        editing.set_start(mailboxes.select_related("server_profile").get(), start_date, by=by, now=now)
    job = Job.objects.create(
        environment=environment,
        server_profile=server_profile,
        takes_over=takes_over,
        created_by=by,
        created_on=now,
    )
    job.total = _write(job, mailboxes)
    if job.total == 1:
        job.title = Mailbox.objects.values_list("name", flat=True).get(diagnoses__job=job)
    if not job.total and by is not None and asked.exists():
        raise refusal(Permission.DIAGNOSE)
    if not job.total:
        job.state, job.finished_on = RunState.DONE, now
    job.save(update_fields=["total", "title", "state", "finished_on"])
    return job


def _write(job: Job, mailboxes: QuerySet[Mailbox]) -> int:
    """Write a diagnosis for each of `mailboxes`, in the order of their names; returns how many.

    The database copies them itself: a hundred thousand rows never travel here and back.
    """
    asked = Mailbox.objects.filter(pk__in=mailboxes.order_by().values("pk"))
    place = Window(RowNumber(), order_by=[Lower("name"), F("pk")]) - 1
    values = {
        "job_id": Value(job.pk),
        "mailbox_id": F("pk"),
        "position": place,
        "state": Value(RunState.QUEUED.value),
        "incoming": Value(""),
        "outgoing": Value(""),
        "lease_owner": Value(""),
        "fence": Value(0),
    }
    rows = asked.annotate(**{f"new_{name}": value for name, value in values.items()})
    sql, params = rows.values_list(*(f"new_{name}" for name in values)).query.sql_with_params()
    into = f"{Diagnosis._meta.db_table} ({', '.join(values)})"
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {into} {sql}", params)
        return int(cursor.rowcount)
