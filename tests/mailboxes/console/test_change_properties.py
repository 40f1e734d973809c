"""Whatever is changed on whichever mailboxes: nothing else changes, and what was promised comes true."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailboxes import rules
from mailboxes.choices import Direction, MailboxKind, TrackIncoming
from mailboxes.engine import changing
from mailboxes.engine.changing import COLUMNS, CONNECTION_FIELDS, Change
from mailboxes.models import Mailbox, WorkerState
from profiles.choices import IncomingMethod, OutgoingMethod
from profiles.models import Environment, ServerProfile
from tests.mailboxes.console.conftest import NOW

BOOKKEEPING = {"version", "modified_on", "modified_by_id"}
dates = st.sampled_from([None, NOW, NOW - timedelta(days=30), NOW - timedelta(days=31)])
places = st.sampled_from([None, "plain", "late", "late", "inactive"])
owners = st.sampled_from([None, "rosa", "ben"])
mailboxes = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(MailboxKind.values),
        "incoming": st.sampled_from(IncomingMethod.values),
        "outgoing": st.sampled_from(OutgoingMethod.values),
        "delete_after_processing": st.booleans(),
        "allow_credentials": st.booleans(),
        "user_name": st.sampled_from(["", "somebody"]),
        "password": st.sampled_from(["", "secret"]),
        "track_incoming": st.sampled_from(TrackIncoming.values),
        "process_email_from": dates,
        "server_profile": places,
        "owner": owners,
        "is_tested": st.booleans(),
    }
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "server_profile_id": places,
        "owner_id": owners,
        "incoming": st.sampled_from(IncomingMethod.values),
        "outgoing": st.sampled_from(OutgoingMethod.values),
        "act": st.just("none"),
        "process_email_from": dates,
        "track_incoming": st.sampled_from(TrackIncoming.values),
        "allow_credentials": st.booleans(),
        "delete_after_processing": st.booleans(),
    },
)


class World:
    """An environment with three profiles, two people, and mailboxes as they were drawn."""

    def __init__(self, drawn: list[dict[str, Any]]) -> None:
        """Make everything new."""
        self.environment = Environment.objects.create(slug="drawn", name="Drawn")
        where = {"incoming_location": "imap.example", "outgoing_location": "smtp.example"}
        self.keys: dict[str | None, Any] = {None: None}
        profiles: dict[str, dict[str, Any]] = {
            "plain": {},
            "late": {"process_email_from": NOW - timedelta(days=7)},
            "inactive": {"is_active": False},
        }
        for name, fields in profiles.items():
            profile = ServerProfile.objects.create(environment=self.environment, name=name, **where, **fields)
            self.keys[name] = profile.pk
        for name in ("rosa", "ben"):
            self.keys[name] = User.objects.create(username=f"drawn-{name}").pk
        made = Mailbox.objects.bulk_create([self._mailbox(number, each) for number, each in enumerate(drawn)])
        WorkerState.objects.bulk_create(
            WorkerState(mailbox=mailbox, direction=direction, is_enabled=each["is_tested"])
            for mailbox, each in zip(made, drawn, strict=True)
            for direction in Direction.values
        )

    def _mailbox(self, number: int, drawn: dict[str, Any]) -> Mailbox:
        places = {"is_tested", "server_profile", "owner"}
        fields = {name: value for name, value in drawn.items() if name not in places}
        # What the database itself refuses cannot be.
        if fields["kind"] == MailboxKind.FORWARD:
            fields["outgoing"] = OutgoingMethod.NONE
        fields["delete_after_processing"] &= fields["kind"] != MailboxKind.USER
        return Mailbox(
            environment=self.environment,
            name=f"Mailbox {number}",
            address=f"m{number}@example.org",
            server_profile_id=self.keys[drawn["server_profile"]],
            owner_id=self.keys[drawn["owner"]],
            **fields,
        )

    def change(self, drawn: dict[str, Any], *, spares_forward: bool) -> Change:
        """Return a change with the keys of what was drawn by name."""
        values = {
            name: self.keys[value] if name in {"server_profile_id", "owner_id"} else value
            for name, value in drawn.items()
        }
        return Change(values, spares_forward=spares_forward)

    def rows(self) -> dict[Any, dict[str, Any]]:
        """Return all mailboxes with all stored columns."""
        found = Mailbox.objects.filter(environment=self.environment).values()
        return {row["id"]: dict(row) for row in found}

    def stopped(self) -> set[Any]:
        """Return the mailboxes that nothing runs for."""
        running = WorkerState.objects.filter(is_enabled=True).values("mailbox")
        chosen = Mailbox.objects.filter(environment=self.environment).exclude(pk__in=running)
        return set(chosen.values_list("pk", flat=True))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(mailboxes, min_size=4, max_size=8), wanted=changes, spares_forward=st.booleans())
def test_nothing_but_what_was_chosen_changes(
    *, db: None, drawn: list[dict[str, Any]], wanted: dict[str, Any], spares_forward: bool
) -> None:
    with transaction.atomic():
        world = World(drawn)
        change = world.change(wanted, spares_forward=spares_forward)
        before, idle = world.rows(), world.stopped()
        chosen = Mailbox.objects.filter(environment=world.environment)
        promised = changing.preview(chosen, change)
        outcome = changing.apply(list(before), change, by=None, now=NOW)
        after = world.rows()
        skipped = {skip.mailbox.pk: skip.reason for skip in outcome.skipped}
        differs = {pk: {name for name in row if row[name] != after[pk][name]} for pk, row in before.items()}
        changed = {pk for pk, names in differs.items() if names}

        # Only what was chosen, and a row that differs in nothing keeps its version.
        assert all(names <= {*change.values, *BOOKKEEPING} for names in differs.values())
        assert all(names & set(COLUMNS) for names in differs.values() if names)
        assert all(after[pk]["version"] == before[pk]["version"] + 1 for pk in changed)
        # Those left out are untouched, and the rules refuse them; the rules accept all that changed.
        assert changed.isdisjoint(skipped)
        assert all(not rules.setting_errors(mailbox) for mailbox in chosen.filter(pk__in=changed))
        assert all(refusal(before[pk], change) == reason for pk, reason in skipped.items())
        # Tests are lost where the connection changed, and nowhere else.
        lost = {pk for pk in changed if differs[pk] & set(CONNECTION_FIELDS)}
        assert world.stopped() == idle | lost
        # What was said beforehand came true.
        assert (promised.total, promised.changed, promised.skipped) == (
            len(before),
            len(changed),
            len(skipped),
        )
        assert (outcome.changed, outcome.unchanged) == (
            len(changed),
            len(before) - len(changed) - len(skipped),
        )
        assert promised.resets == len(lost - idle)
        assert all(
            promised.columns.get(name, 0) == sum(name in names for names in differs.values())
            for name in COLUMNS
        )
        transaction.set_rollback(True)


def refusal(row: dict[str, Any], change: Change) -> str:
    """Say why the rules refuse a row with its new values, as the single form would."""
    mailbox = Mailbox(**row)
    for name, value in change.values_for(mailbox.kind).items():
        setattr(mailbox, name, value)
    return " ".join(rules.setting_errors(mailbox).values())
