"""Server time of every list with 100,000 mailboxes and 1,000,000 messages in the database.

    python -m bench.lists [--database postgres] [--mailboxes 100000] [--messages 1000000]

Each page is asked for in this process as a browser would ask, signed in: routing, access, queries, template.
After one request to warm up, several are timed. The goal is a median under 100 ms; the number of queries is
shown, and is the same for one record and for a million. Beside the time on the wall, which other work on the
machine stretches, stands the CPU time: of this process, and of the database's for its connection. Then
commands for everything are timed (each answers within a second and leaves the work to a job), and one bulk
change of 10,000 mailboxes.

`--database` is postgres or sqlite for a private one, or the address of an empty one that is kept: it is
filled the first time, and measured again the next. Whatever is ordered and changed is taken back.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.servers.postgres import Postgres

GOAL_MS, GOAL_COMMAND_MS, GOAL_CHANGE_SECONDS = 100.0, 1_000.0, 5.0
REPEATS, COMMAND_REPEATS = 7, 3

#: What is asked for: a name for people, the name of the address, what it needs, and the state of the list.
PAGES = (
    ("Environments", "profiles:environment_list", "", ""),
    ("Server profiles", "profiles:profile_list", "slug", ""),
    ("Mailboxes", "mailboxes:mailbox_list", "slug", ""),
    ("Mailboxes, last page", "mailboxes:mailbox_list", "slug", "page=999999"),
    ("Mailboxes, by name descending", "mailboxes:mailbox_list", "slug", "sort=-name"),
    ("Mailboxes, by incoming status", "mailboxes:mailbox_list", "slug", "sort=incoming"),
    ("Mailboxes, by last test", "mailboxes:mailbox_list", "slug", "sort=-tested"),
    ("Mailboxes, failing", "mailboxes:mailbox_list", "slug", "view=failing"),
    ("Mailboxes, pending approval", "mailboxes:mailbox_list", "slug", "view=pending"),
    ("Mailboxes, search", "mailboxes:mailbox_list", "slug", "q=rosa+keller"),
    ("Mailboxes, search for two letters", "mailboxes:mailbox_list", "slug", "q=zq"),
    ("Mailboxes, search without result", "mailboxes:mailbox_list", "slug", "q=zzzzqq"),
    ("Mailboxes, 100 on a page", "mailboxes:mailbox_list", "slug", "size=100"),
    ("Mailboxes, 250 on a page", "mailboxes:mailbox_list", "slug", "size=250"),
    ("Mailbox, emails of a large one", "mailboxes:mailbox_emails", "slug box", ""),
    ("Mailbox, emails, search", "mailboxes:mailbox_emails", "slug box", "q=invoice"),
    ("Mailbox", "mailboxes:mailbox_detail", "slug box", ""),
    ("Mailbox, test results", "mailboxes:mailbox_tests", "slug box", ""),
    ("Mailbox, alerts", "mailboxes:mailbox_alerts", "slug box", ""),
    ("Emails", "mailboxes:environment_emails", "slug", ""),
    ("Emails, search for a common word", "mailboxes:environment_emails", "slug", "q=invoice"),
    ("Emails, search for a rare word", "mailboxes:environment_emails", "slug", "q=777777"),
    ("Emails, search without result", "mailboxes:environment_emails", "slug", "q=zzzzqq"),
    ("Alerts of the environment", "mailboxes:environment_alerts", "slug", ""),
    ("My alerts", "mailboxes:alert_list", "", ""),
    ("Jobs", "mailboxes:job_list", "slug", ""),
    ("Completeness", "mailboxes:completeness_list", "slug", ""),
    ("Completeness, last page", "mailboxes:completeness_list", "slug", "page=999999"),
    ("Completeness, complete", "mailboxes:completeness_list", "slug", "facet=complete"),
    ("Completeness, by name", "mailboxes:completeness_list", "slug", "sort=name"),
    ("Completeness, by messages", "mailboxes:completeness_list", "slug", "sort=-on_server"),
    ("Completeness, search", "mailboxes:completeness_list", "slug", "q=rosa+keller"),
    ("Mailboxes of a profile", "mailboxes:profile_mailboxes", "slug profile", ""),
    ("Alerts of a profile", "mailboxes:profile_alerts", "slug profile", ""),
    ("Job with 10,000 mailboxes", "mailboxes:job_detail", "slug job", ""),
    ("People and roles", "profiles:people_list", "slug", ""),
    ("Search", "search", "", "q=rosa"),
)
#: What is asked or ordered for all that there are: a name for people, the address, and what is posted.
ALL = {"all": "1", "list": "view=all"}
COMMANDS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("Test & Enable, the question", "mailboxes:mailbox_diagnose", "slug", ALL),
    ("Test & Enable", "mailboxes:mailbox_diagnose", "slug", {**ALL, "confirm": "1"}),
    ("Test & Enable of a profile", "mailboxes:profile_diagnose", "slug profile", {"confirm": "1"}),
    ("Approve Email", "mailboxes:mailbox_command", "slug", {**ALL, "confirm": "1", "action": "approve"}),
    ("Deactivate", "mailboxes:mailbox_command", "slug", {**ALL, "confirm": "1", "action": "deactivate"}),
    (
        "Change Multiple Records, the summary",
        "mailboxes:mailbox_change_many",
        "slug",
        {**ALL, "summary": "1"},
    ),
    ("Change Multiple Records", "mailboxes:mailbox_change_many", "slug", {**ALL, "confirm": "1"}),
    ("Apply Default Email Settings, the question", "mailboxes:mailbox_apply_default", "slug", ALL),
    ("Apply Default Email Settings", "mailboxes:mailbox_apply_default", "slug", {**ALL, "confirm": "1"}),
    ("Mark all alerts as read", "mailboxes:alert_read", "", {"environment": "large"}),
    ("Delete all alerts", "mailboxes:alert_delete", "", {"environment": "large", "all": "1"}),
)


def main() -> int:
    """Fill a private database, measure, print, and say whether the goals were met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", default="postgres")
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="emailsync-bench-") as folder,
        _database(arguments.database) as url,
    ):
        if url:
            os.environ["DATABASE_URL"] = url
        _set_up(Path(folder))
        from bench.fill import fill, tidy  # noqa: PLC0415
        from mailboxes.models import Job  # noqa: PLC0415

        if not Job.objects.exists():  # they are filled in last
            fill(mailboxes=arguments.mailboxes, messages=arguments.messages)
        else:
            tidy()
        met = [_measure_pages(), _measure_commands(), _measure_change()]
        return 0 if all(met) else 1


@contextlib.contextmanager
def _database(kind: str) -> Iterator[str]:
    if kind != "postgres":
        yield "" if kind == "sqlite" else kind
        return
    with Postgres(fsync=False) as server:
        yield server.create_database("emailsync")


def _set_up(folder: Path) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "emailsync.settings",
        "EMAILSYNC_DATA_DIR": str(folder),
        "EMAILSYNC_SECRET_KEY": "for this measurement alone, and long enough to be taken for a real one",
        "EMAILSYNC_ENCRYPTION_KEYS": "bench:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    }
    import django  # noqa: PLC0415
    from django.conf import settings  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    Path(settings.STATIC_ROOT).mkdir()
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)


def _measure_pages() -> bool:
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415
    from django.urls import reverse  # noqa: PLC0415

    from mailboxes.models import Job, Mailbox, Message  # noqa: PLC0415
    from profiles.models import ServerProfile  # noqa: PLC0415

    browser = Client(SERVER_NAME="localhost")
    browser.force_login(User.objects.get_or_create(username="bench", is_superuser=True)[0])
    largest = Message.objects.order_by("pk").filter(pk=10).values_list("mailbox_id", flat=True).get()
    job = Job.objects.order_by("pk").values_list("pk", flat=True)[0]
    profile = ServerProfile.objects.get(environment__slug="large", name="Profile 07").pk
    given: dict[str, Any] = {"slug": "large", "box": largest, "job": job, "profile": profile}
    print(f"{Mailbox.objects.count():,} mailboxes, {Message.objects.count():,} messages, {connection.vendor}")
    print("| Page | queries | ms | of it CPU | CPU of the database |\n| --- | --- | --- | --- | --- |")
    met = True
    for title, name, needs, state in PAGES:
        url = f"{reverse(name, args=[given[need] for need in needs.split()])}?{state}"
        with CaptureQueriesContext(connection) as captured:
            answer = browser.get(url)
        queries = captured.captured_queries
        if answer.status_code != 200:
            raise SystemExit(f"{title}: {url} answered {answer.status_code}.")
        times = [_timed(lambda url=url: browser.get(url)) for _ in range(REPEATS)]  # type: ignore[misc]
        median, own, its = (statistics.median(column) for column in zip(*times, strict=True))
        met = met and median <= GOAL_MS
        mark = "" if median <= GOAL_MS else " (over the goal)"
        print(f"| {title} | {len(queries)} | {median:.0f}{mark} | {own:.0f} | {its:.0f} |", flush=True)
        if os.environ.get("EXPLAIN") in {"all", title} or (mark and os.environ.get("EXPLAIN")):
            for query in sorted(queries, key=lambda each: -float(each["time"]))[:3]:
                print(f"    {query['time']} s: {query['sql'][:1500]}")
    return met


def _measure_commands() -> bool:
    """Order what concerns everything, each time in a transaction that is taken back."""
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import transaction  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.urls import reverse  # noqa: PLC0415

    from profiles.models import ServerProfile  # noqa: PLC0415

    browser = Client(SERVER_NAME="localhost", headers={"HX-Request": "true"})
    browser.force_login(User.objects.get(username="bench"))
    profiles = ServerProfile.objects.filter(environment__slug="large").order_by("name")
    given: dict[str, Any] = {"slug": "large", "profile": profiles[7].pk}
    changed = {"server_profile": str(profiles[8].pk), "incoming": "server_side_synchronization"}
    print("| For everything | ms | of it CPU | CPU of the database |\n| --- | --- | --- | --- |")
    met = True
    for title, name, needs, data in COMMANDS:
        url = reverse(name, args=[given[need] for need in needs.split()])
        posted = {**data, **(changed if "Change" in title else {})}

        def order(url: str = url, posted: dict[str, str] = posted) -> None:
            with transaction.atomic():
                answer = browser.post(url, posted)
                if answer.status_code != 200:
                    raise SystemExit(f"{url} answered {answer.status_code}.")
                transaction.set_rollback(True)

        times = [_timed(order) for _ in range(COMMAND_REPEATS)]
        taken, own, its = (statistics.median(column) for column in zip(*times, strict=True))
        met = met and taken <= GOAL_COMMAND_MS
        mark = "" if taken <= GOAL_COMMAND_MS else " (over the goal)"
        print(f"| {title} | {taken:.0f}{mark} | {own:.0f} | {its:.0f} |", flush=True)
    return met


def _timed(work: Callable[[], object]) -> tuple[float, float, float]:
    """Return how many milliseconds it took, and the CPU time of this process and of the database's."""
    backend = _backend()
    started, own, its = time.perf_counter(), time.process_time(), _cpu_of(backend)
    work()
    taken = time.perf_counter() - started, time.process_time() - own, _cpu_of(backend) - its
    return taken[0] * 1000, taken[1] * 1000, taken[2] * 1000


def _backend() -> int | None:
    """Return the process that serves this connection; SQLite works in this one."""
    from django.db import connection  # noqa: PLC0415

    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def _cpu_of(process: int | None) -> float:
    """Return the CPU seconds of a process on this machine; Linux tells them to the nanosecond."""
    if process is None:
        return 0.0
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


def _measure_change() -> bool:
    from django.db import transaction  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from mailboxes.engine import changing  # noqa: PLC0415
    from mailboxes.models import Mailbox  # noqa: PLC0415
    from profiles.models import ServerProfile  # noqa: PLC0415

    chosen = list(Mailbox.objects.active().order_by("name").values_list("pk", "server_profile")[:10_000])
    profile = (
        ServerProfile.objects.filter(environment__slug="large").exclude(pk=chosen[0][1]).order_by("name")[0]
    )
    pks, change = [pk for pk, _ in chosen], changing.Change({"server_profile_id": profile.pk})
    outcomes: list[changing.Outcome] = []
    with transaction.atomic():  # taken back: ten thousand mailboxes less that work would be other figures
        taken, own, its = _timed(
            lambda: outcomes.append(changing.apply(pks, change, by=None, now=timezone.now()))
        )
        transaction.set_rollback(True)
    print(
        f"Change Multiple Records: {outcomes[0].changed:,} of {len(pks):,} mailboxes in {taken / 1000:.1f} s "
        f"(CPU {own / 1000:.1f} s, of the database {its / 1000:.1f} s)"
    )
    return taken <= GOAL_CHANGE_SECONDS * 1000


if __name__ == "__main__":
    sys.exit(main())
