"""Makes an installation what a file says, or changes nothing and says why not.

Everything passes the rules that forms obey (`full_clean` and the services), in one transaction. What the
file does not name stays as it is; what is already so is not written, so a second run changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models, transaction

from emailsync.crypto.fields import Secret
from mailboxes.choices import AddressStatus, MailboxKind
from mailboxes.engine import defaults
from mailboxes.management.provisioning.document import NULL, Rejected, Section
from mailboxes.management.provisioning.keys import key_of, values
from mailboxes.models import Mailbox
from mailboxes.services import approval, editing
from profiles import services as profile_services
from profiles.models import EmailSettings, Environment, ServerProfile

M = TypeVar("M", bound=models.Model)
#: Never compared: they change with every save.
BOOKKEEPING = {"version", "created_on", "modified_on", "modified_by_id"}


@dataclass
class Report:
    """What was done, as sentences, and how much was already so."""

    changes: list[str] = field(default_factory=list)
    unchanged: int = 0


@dataclass
class Applier:
    """One run over one file."""

    #: Where relative paths begin.
    folder: Path
    #: The environment variables that passwords may be taken from.
    variables: Mapping[str, str] = field(repr=False)
    now: datetime
    report: Report = field(default_factory=Report)

    def apply(self, top: Section, *, only_check: bool = False) -> Report:
        """Apply the file. Raises Rejected, with nothing changed, when any part of it cannot be applied."""
        with transaction.atomic():
            self._apply(top)
            if top.complaints:
                raise Rejected(top.complaints)
            if only_check:
                transaction.set_rollback(True)
        return self.report

    def _apply(self, top: Section) -> None:
        top.refuse_unknown({"environments"})
        if "environments" not in top:
            top.complain("environments", "The key is missing. The file begins with: environments:")
        seen: dict[str, int] = {}
        for section in top.sections("environments"):
            slug = _name(section, "slug")
            if slug and not _is_repeated(section, "slug", slug, seen):
                self._environment(section, slug=slug)

    def _environment(self, section: Section, *, slug: str) -> None:
        found = values(section, Environment, folder=self.folder, variables=self.variables)
        stored = Environment.objects.filter(slug=slug).first()
        environment = stored or Environment(slug=slug)
        before = _snapshot(environment) if stored else None
        _assign(environment, found)
        if profile_services.environment_name_is_taken(environment):
            section.complain("name", f"Another environment is named {environment.name}. Choose another name.")
            return
        if not _is_clean(environment, section):
            return
        if self._differs(environment, before, label=f"environment {slug}"):
            self._save_environment(environment, slug=slug)
        profiles = self._profiles(section, environment)
        self._settings(section.section("email_settings"), environment, profiles)
        seen: dict[str, int] = {}
        for item in section.sections("mailboxes"):
            address = _name(item, "address")
            if address and not _is_repeated(item, "address", address.lower(), seen):
                self._mailbox(item, environment, profiles, address=address)

    def _save_environment(self, environment: Environment, *, slug: str) -> None:
        is_new = environment.pk is None
        profile_services.save_environment(environment, by=None)
        if is_new and environment.slug != slug:
            # The console makes the slug from the name; the file says it.
            environment.slug = slug
            environment.save(update_fields=["slug"])

    def _profiles(self, section: Section, environment: Environment) -> "_Profiles":
        profiles = _Profiles(environment)
        seen: dict[str, int] = {}
        for item in section.sections("server_profiles"):
            name = _name(item, "name")
            if name and not _is_repeated(item, "name", name, seen):
                self._profile(item, profiles, name=name)
        return profiles

    def _profile(self, section: Section, profiles: "_Profiles", *, name: str) -> None:
        complaints = len(section.complaints)
        found = values(section, ServerProfile, folder=self.folder, variables=self.variables)
        default = found.pop("is_default", None)
        stored = profiles.environment.server_profiles.filter(name=name).first()
        profile = stored or ServerProfile(environment=profiles.environment, name=name)
        before = _snapshot(profile) if stored else None
        for side in ("incoming", "outgoing"):
            security = found.get(f"{side}_security", getattr(profile, f"{side}_security"))
            # A port that the file leaves out follows the security that the file names.
            if security != getattr(profile, f"{side}_security"):
                found.setdefault(f"{side}_port", None)
        _assign(profile, found)
        if not _is_clean(profile, section) or len(section.complaints) > complaints:
            profiles.failed.add(name)
            return
        if self._differs(profile, before, label=f"server profile {name}"):
            try:
                profile_services.save_profile(profile, by=None, now=self.now)
            except profile_services.NameTaken as error:
                section.complain("name", str(error))
                profiles.failed.add(name)
                return
        if default:
            profiles.wish(section, "default", name)

    def _settings(self, section: Section | None, environment: Environment, profiles: "_Profiles") -> None:
        if section is not None:
            found = values(section, EmailSettings, folder=self.folder, variables=self.variables)
            stored = EmailSettings.objects.filter(environment=environment).first()
            row = stored or EmailSettings(environment=environment)
            before = _snapshot(row) if stored else None
            _assign(row, found)
            label = f"email settings of {environment.slug}"
            if _is_clean(row, section) and self._differs(row, before, label=label):
                profile_services.save_settings(row, server_profile=row.server_profile, by=None, now=self.now)
            name = _name(section, "server_profile", is_required=False)
            if name:
                profiles.wish(section, "server_profile", name)
        profile = profiles.wished()
        if profile is not None and profile_services.set_default(profile, by=None, now=self.now):
            self.report.changes.append(f"Made the server profile {profile.name} the default")

    def _mailbox(
        self, section: Section, environment: Environment, profiles: "_Profiles", *, address: str
    ) -> None:
        complaints = len(section.complaints)
        found = values(section, Mailbox, folder=self.folder, variables=self.variables)
        stored = Mailbox.objects.filter(environment=environment, address__iexact=address).first()
        kind = found.get("kind", MailboxKind.USER)
        mailbox = stored or defaults.new_mailbox(environment, kind=kind)
        before = _snapshot(mailbox) if stored else None
        if found.get("user_name"):
            found.setdefault("allow_credentials", True)
        _assign(mailbox, found)
        if not self._choose_profile(section, mailbox, profiles):
            return
        approved = section.scalar("approved")
        is_approved = approved is not None and approved.text.lower() == "true"
        if approved is not None and approved.text.lower() not in ("true", "false"):
            section.complain("approved", f"{approved.text!r} is not possible here. Write true or false.")
        if not _is_clean(mailbox, section) or len(section.complaints) > complaints:
            return
        if self._differs(mailbox, before, label=f"mailbox {mailbox.address}"):
            save = editing.update if stored else editing.create
            save(mailbox, by=None)
        if is_approved and mailbox.address_status != AddressStatus.APPROVED:
            approval.approve(Mailbox.objects.filter(pk=mailbox.pk), by=None, now=self.now)
            self.report.changes.append(f"Approved the address {mailbox.address}")

    def _choose_profile(self, section: Section, mailbox: Mailbox, profiles: "_Profiles") -> bool:
        scalar = section.scalar("server_profile")
        if scalar is None:
            return True
        if scalar.tag == NULL:
            mailbox.server_profile = None
            return True
        if scalar.text in profiles.failed:
            # Its own complaint stands at its own line.
            return False
        mailbox.server_profile = profiles.get(section, "server_profile", scalar.text)
        return mailbox.server_profile is not None

    def _differs(self, instance: models.Model, before: dict[str, Any] | None, *, label: str) -> bool:
        """Say whether `instance` must be saved, and report what will be."""
        if before is None:
            self.report.changes.append(f"Created {label}")
            return True
        after = _snapshot(instance)
        changed = [name for name, value in after.items() if not _is_same(value, before[name])]
        if not changed:
            self.report.unchanged += 1
            return False
        names = ", ".join(sorted(name.removesuffix("_id") for name in changed))
        self.report.changes.append(f"Updated {label}: {names}")
        return True


class _Profiles:
    """The profiles of one environment by name, which of them failed, and which is to be the default."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.failed: set[str] = set()
        self._wished: ServerProfile | None = None

    def get(self, section: Section, key: str, name: str) -> ServerProfile | None:
        profile = self.environment.server_profiles.filter(name=name).first()
        if profile is None:
            section.complain(key, f"This environment has no server profile named {name!r}.")
        return profile

    def wish(self, section: Section, key: str, name: str) -> None:
        """Ask for `name` as the default; two different wishes are an error."""
        if name in self.failed:
            return
        profile = self.get(section, key, name)
        if profile is None:
            return
        if self._wished is not None and self._wished.pk != profile.pk:
            section.complain(key, f"{self._wished.name!r} is the default already. Name one default profile.")
            return
        self._wished = profile

    def wished(self) -> ServerProfile | None:
        return self._wished


def _name(section: Section, key: str, *, is_required: bool = True) -> str:
    scalar = section.scalar(key)
    text = "" if scalar is None or scalar.tag == NULL else scalar.text.strip()
    if not text and is_required:
        section.complain(key, "The key is missing or empty.")
    return text


def _is_repeated(section: Section, key: str, name: str, seen: dict[str, int]) -> bool:
    if name in seen:
        section.complain(key, f"{name} is described twice; the first time in line {seen[name]}.")
        return True
    seen[name] = section.line
    return False


def _assign(instance: models.Model, found: dict[str, Any]) -> None:
    for name, value in found.items():
        stored = getattr(instance, name)
        # A secret that is the same keeps its sealed form.
        if not (isinstance(stored, Secret) and stored.reveal() == value):
            setattr(instance, name, value)


def _is_clean(instance: models.Model, section: Section) -> bool:
    try:
        instance.full_clean()
    except ValidationError as error:
        for name, sentences in error.message_dict.items():
            key = "" if name == NON_FIELD_ERRORS else key_of(type(instance), name, section=section)
            for sentence in sentences:
                section.complain(key, sentence)
        return False
    return True


def _snapshot(instance: models.Model) -> dict[str, Any]:
    return {
        field.attname: getattr(instance, field.attname)
        for field in instance._meta.concrete_fields
        if field.attname not in BOOKKEEPING
    }


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, Secret) and isinstance(other, Secret):
        return one is other or one.reveal() == other.reveal()
    return bool(one == other)
