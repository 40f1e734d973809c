"""`manage.py reconcile`: prove that every message on the servers is accounted for."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from django.utils import timezone

from mailboxes.choices import Direction
from mailboxes.engine import syncing
from mailboxes.management import selecting
from mailboxes.models import Mailbox, Reconciliation, WorkerState
from mailboxes.services import completeness

ASK_EVERY = 0.5
INCOMPLETE = 1
NOT_COUNTED = 3


class Command(BaseCommand):
    """Counts the Inboxes against the ledger; ends with 0 only if each was counted and none has a gap."""

    help = "Prove that what the servers hold equals what the ledger says became of it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare which mailboxes."""
        parser.add_argument("--environment", metavar="SLUG", help="all environments, unless one is named")
        parser.add_argument(
            "--mailbox", action="append", default=[], metavar="ADDRESS", help="may be repeated"
        )
        parser.add_argument(
            "--timeout", type=float, default=120.0, metavar="SECONDS", help="for each mailbox"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Count one mailbox after the other, and print a line for each."""
        mailboxes = self._mailboxes(options["environment"], options["mailbox"])
        states = self._states(mailboxes)
        incomplete = uncounted = 0
        for state in states:
            report = self._count(state, seconds=options["timeout"])
            if report is None or report.trouble:
                uncounted += 1
                said = report.trouble if report else "not counted: its run did not succeed, or takes long."
            else:
                incomplete += not report.is_balanced
                said = _said(report)
            self.stdout.write(f"{state.mailbox.address}: {said}")
        if idle := mailboxes.count() - len(states):
            self.stdout.write(f"Not enabled for incoming email, and not counted: {idle}.")
        if incomplete:
            raise CommandError(
                f"{incomplete} of {len(states)} mailboxes have messages that had been overlooked. "
                "The next run fetches them.",
                returncode=INCOMPLETE,
            )
        if uncounted:
            raise CommandError(
                f"{uncounted} of {len(states)} mailboxes were not counted.", returncode=NOT_COUNTED
            )
        counted = "1 mailbox" if len(states) == 1 else f"{len(states)} mailboxes"
        self.stdout.write(f"Every message of {counted} is accounted for.")

    def _mailboxes(self, slug: str | None, addresses: list[str]) -> QuerySet[Mailbox]:
        mailboxes: QuerySet[Mailbox] = Mailbox.objects.all()
        if slug:
            mailboxes = mailboxes.filter(environment=selecting.environment(slug))
        if addresses and not slug:
            raise CommandError("Name the --environment of the mailboxes.")
        if addresses:
            place = selecting.environment(slug or "")
            mailboxes = mailboxes.filter(pk__in=[selecting.mailbox(place, each).pk for each in addresses])
        return mailboxes

    def _states(self, mailboxes: QuerySet[Mailbox]) -> list[WorkerState]:
        states = WorkerState.objects.filter(
            mailbox__in=mailboxes, direction=Direction.INCOMING, is_enabled=True
        ).exclude(mailbox__incoming="forward_mailbox")
        found = list(states.select_related("mailbox").order_by("mailbox__address"))
        if not found:
            raise CommandError("None of these mailboxes is enabled for incoming email.")
        return found

    def _count(self, state: WorkerState, *, seconds: float) -> Reconciliation | None:
        """Do the mailbox's work here, unless a worker is at it, and return its report."""
        asked = timezone.now()
        completeness.ask(Mailbox.objects.filter(pk=state.mailbox_id), by=None, now=asked)
        ends = time.monotonic() + seconds
        while True:
            syncing.run(state.pk)
            report = Reconciliation.objects.filter(mailbox=state.mailbox_id).first()
            if report and report.tried_on and report.tried_on >= asked:
                return report
            now = WorkerState.objects.filter(pk=state.pk).first()
            if now is None or time.monotonic() > ends or _has_failed(now, since=asked):
                return None
            time.sleep(ASK_EVERY)


def _has_failed(state: WorkerState, *, since: Any) -> bool:
    return not state.is_enabled or (state.last_error_on is not None and state.last_error_on >= since)


def _said(report: Reconciliation) -> str:
    parts = [f"{number} {label}".lower() for _outcome, label, number in report.lines]
    parts += [f"{report.waiting} came since"] if report.waiting else []
    parts += [f"{report.missed} OVERLOOKED"] if report.missed else []
    return f"{report.on_server} on the server = {' + '.join(parts) or '0'}"
