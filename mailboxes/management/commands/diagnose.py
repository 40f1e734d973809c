"""`manage.py diagnose`: Test & Enable from the command line, with an exit status for scripts."""

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from mailboxes.choices import Direction, RunState, StepOutcome
from mailboxes.management import selecting
from mailboxes.models import Diagnosis, DiagnosisStep, Job, Mailbox
from mailboxes.services import diagnosis

ASK_EVERY = 0.5
#: A running worker takes a test within a second or two.
PATIENCE = 30.0
FAILED = 1
TIMED_OUT = 3


class Command(BaseCommand):
    """Starts Test & Enable; with --wait, prints the result and ends with 0 only if everything succeeded."""

    help = "Test and enable the mailboxes of an environment. A running worker does the work."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare which mailboxes, and whether to wait."""
        parser.add_argument("--environment", required=True, metavar="SLUG")
        parser.add_argument(
            "--mailbox", action="append", default=[], metavar="ADDRESS", help="may be repeated"
        )
        parser.add_argument("--wait", action="store_true", help="wait for the result and print it")
        parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS")
        parser.add_argument("--json", action="store_true", help="print the result as JSON (implies --wait)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Start, and wait when asked to."""
        environment = selecting.environment(options["environment"])
        mailboxes = Mailbox.objects.filter(environment=environment)
        if options["mailbox"]:
            chosen = [selecting.mailbox(environment, address).pk for address in options["mailbox"]]
            mailboxes = mailboxes.filter(pk__in=chosen)
        job = diagnosis.start(mailboxes, environment=environment, by=None, now=timezone.now())
        if not job.diagnoses.exists():
            raise CommandError(f"The environment {environment.slug} has no mailboxes.")
        if not (options["wait"] or options["json"]):
            self.stdout.write(f"Test & Enable {job.pk} is waiting for a worker.")
            return
        is_finished = self._wait(job, seconds=options["timeout"])
        results = [
            _Result(found) for found in job.diagnoses.select_related("mailbox").order_by("mailbox__name")
        ]
        if options["json"]:
            self.stdout.write(
                json.dumps([result.as_json() for result in results], indent=2, ensure_ascii=False)
            )
        else:
            for result in results:
                self.stdout.write(result.as_text())
        if not is_finished:
            raise CommandError(
                f"Not finished after {options['timeout']:g} s. Test & Enable {job.pk} goes on by itself.",
                returncode=TIMED_OUT,
            )
        failures = sum(not result.is_success for result in results)
        if failures:
            raise CommandError(f"{failures} of {len(results)} mailboxes did not succeed.", returncode=FAILED)
        if not options["json"]:
            self.stdout.write(f"All {len(results)} mailboxes succeeded.")

    def _wait(self, job: Job, *, seconds: float) -> bool:
        start = time.monotonic()
        has_warned = False
        while time.monotonic() - start < seconds:
            if not job.diagnoses.unfinished().exists():
                return True
            is_untouched = not job.diagnoses.exclude(state=RunState.QUEUED).exists()
            if is_untouched and not has_warned and time.monotonic() - start > PATIENCE:
                has_warned = True
                self.stderr.write(
                    f"No worker has begun within {PATIENCE:g} s. Is one running? Start it with: manage.py up"
                )
            time.sleep(ASK_EVERY)
        return False


class _Result:
    """What became of one mailbox."""

    def __init__(self, found: Diagnosis) -> None:
        self.mailbox = found.mailbox
        self.is_done = found.state == RunState.DONE
        self.outcomes = {Direction.INCOMING: found.incoming, Direction.OUTGOING: found.outgoing}
        self.steps = list(DiagnosisStep.objects.filter(diagnosis=found).order_by("position"))

    @property
    def is_success(self) -> bool:
        """Say whether every configured direction succeeded."""
        configured = [direction for direction in Direction if self.mailbox.uses(direction)]
        return self.is_done and all(
            self.outcomes[direction] == StepOutcome.SUCCESS for direction in configured
        )

    def as_text(self) -> str:
        """Return the result for people: a line per mailbox, one per step."""
        lines = [f"{self.mailbox.address}: {'success' if self.is_success else 'NOT successful'}"]
        for step in self.steps:
            lines.append(f"  {step.outcome:<8} {step.direction:<8} {step.title} ({step.duration_ms} ms)")
            details = (step.seen, step.remedy) if step.outcome == StepOutcome.FAILURE else ()
            lines += [f"  {'':<17} {detail}" for detail in details if detail]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the result for programs."""
        return {
            "mailbox": self.mailbox.address,
            "success": self.is_success,
            "finished": self.is_done,
            **{direction.value: self.outcomes[direction] or None for direction in Direction},
            "steps": [
                {
                    "direction": step.direction,
                    "name": step.name,
                    "title": step.title,
                    "outcome": step.outcome,
                    "duration_ms": step.duration_ms,
                    "seen": step.seen,
                    "error_code": step.error_code,
                    "remedy": step.remedy,
                }
                for step in self.steps
            ],
        }
