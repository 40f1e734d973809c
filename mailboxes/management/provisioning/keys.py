"""The words of the file: which key sets which field of which model, and how its text becomes a value."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from django.db import models

from emailsync.crypto.fields import EncryptedTextField
from mailboxes.management.provisioning.document import BOOLEAN, INTEGER, NULL, Scalar, Section
from mailboxes.models import Mailbox
from profiles.models import EmailSettings, Environment, ServerProfile

TRUE = {"true", "yes", "on"}

#: Keys whose name is not the field's.
ALIASES = {"default": "is_default", "active": "is_active", "ca_certificate_file": "ca_certificates"}
#: Fields that the file does not set, or sets in another way.
LEFT_OUT = {"id", "version", "created_on", "modified_on", "modified_by", "environment", "owner", "is_demo"}
#: What a section holds beside fields of its own model.
BESIDE: dict[type[models.Model], set[str]] = {
    Environment: {"email_settings", "server_profiles", "mailboxes"},
    EmailSettings: {"server_profile"},
    ServerProfile: set(),
    Mailbox: {"server_profile", "approved"},
}


@dataclass(frozen=True)
class Word:
    """A key of the file."""

    key: str
    field: "models.Field[Any, Any]"
    is_file: bool = False
    is_from_environment: bool = False


class Unusable(Exception):
    """A value that cannot be what its key needs; the sentence never repeats a secret."""


def words(model: type[models.Model]) -> dict[str, Word]:
    """Return the keys that set fields of `model`."""
    found: dict[str, Word] = {}
    for field in model._meta.concrete_fields:
        if field.name in LEFT_OUT or isinstance(field, models.ForeignKey):
            continue
        if isinstance(field, EncryptedTextField):
            found[field.name] = Word(field.name, field)
            found[f"{field.name}_env"] = Word(f"{field.name}_env", field, is_from_environment=True)
        elif field.editable:
            key = next((alias for alias, name in ALIASES.items() if name == field.name), field.name)
            found[key] = Word(key, field, is_file=key == "ca_certificate_file")
    return found


def known_keys(model: type[models.Model]) -> set[str]:
    """Return every key that may stand in a section about `model`."""
    return set(words(model)) | BESIDE[model]


def key_of(model: type[models.Model], field_name: str, *, section: Section) -> str:
    """Return the key under which complaints about a field belong: the one that was written, if any."""
    candidates = [word.key for word in words(model).values() if word.field.name == field_name]
    return next((key for key in candidates if key in section), candidates[0] if candidates else field_name)


def values(
    section: Section, model: type[models.Model], *, folder: Path, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Return the values of `section` by field name, complaining about those that cannot be used."""
    section.refuse_unknown(known_keys(model))
    found: dict[str, Any] = {}
    for key, word in words(model).items():
        scalar = section.scalar(key)
        if scalar is None:
            continue
        if word.field.name in found:
            section.complain(key, f"Set either {word.field.name} or {word.field.name}_env, not both.")
            continue
        try:
            value = _value(word, scalar, folder=folder, variables=variables)
        except Unusable as error:
            section.complain(key, str(error))
            continue
        if value is not KEEP:
            found[word.field.name] = value
    return found


#: The value of an empty secret: what is stored stays.
KEEP = object()


def _value(word: Word, scalar: Scalar, *, folder: Path, variables: Mapping[str, str]) -> Any:
    if word.is_from_environment:
        return _secret_from(scalar, variables=variables)
    if isinstance(word.field, EncryptedTextField):
        return KEEP if scalar.tag == NULL else _text(scalar, word.field)
    if scalar.tag == NULL:
        return _empty(word.field)
    if word.is_file:
        return _file_text(folder / scalar.text)
    return _plain_value(word.field, scalar)


def _plain_value(field: "models.Field[Any, Any]", scalar: Scalar) -> Any:
    if field.choices:
        return _choice(scalar, field)
    if isinstance(field, models.BooleanField):
        return _boolean(scalar)
    if isinstance(field, models.IntegerField):
        return _integer(scalar)
    if isinstance(field, models.DateTimeField):
        return _moment(scalar)
    return _day(scalar) if isinstance(field, models.DateField) else _text(scalar, field)


def _secret_from(scalar: Scalar, *, variables: Mapping[str, str]) -> str | object:
    if scalar.tag == NULL:
        return KEEP
    secret = variables.get(scalar.text, "")
    if not secret:
        raise Unusable(f"The environment variable {scalar.text} is not set. Set it to the password.")
    return secret


def _empty(field: "models.Field[Any, Any]") -> Any:
    if field.null:
        return None
    if field.empty_strings_allowed and field.blank:
        return ""
    raise Unusable("This needs a value; leave the key out to keep what is stored.")


def _text(scalar: Scalar, field: "models.Field[Any, Any]") -> str:
    limit = field.max_length
    if limit is not None and len(scalar.text) > limit:
        raise Unusable(f"This is longer than {limit} characters.")
    return scalar.text


def _file_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise Unusable(f"{path} is not a PEM file.") from error
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}.") from error


def _choice(scalar: Scalar, field: "models.Field[Any, Any]") -> str:
    allowed = [str(value) for value, _ in field.flatchoices]
    if scalar.text not in allowed:
        raise Unusable(f"{scalar.text!r} is not possible here. Choose one of: {', '.join(allowed)}.")
    return scalar.text


def _boolean(scalar: Scalar) -> bool:
    if scalar.tag != BOOLEAN:
        raise Unusable(f"{scalar.text!r} is not possible here. Write true or false.")
    return scalar.text.lower() in TRUE


def _integer(scalar: Scalar) -> int:
    if scalar.tag != INTEGER or not scalar.text.isdigit() or len(scalar.text) > 9:
        raise Unusable(f"{scalar.text!r} is not a number without sign and fraction.")
    return int(scalar.text)


def _day(scalar: Scalar) -> date:
    try:
        return date.fromisoformat(scalar.text)
    except ValueError as error:
        raise Unusable(f"{scalar.text!r} is not a day such as 2026-01-31.") from error


def _moment(scalar: Scalar) -> datetime:
    try:
        moment = datetime.fromisoformat(scalar.text)
    except ValueError as error:
        raise Unusable(f"{scalar.text!r} is not a time such as 2026-01-01T00:00:00Z.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
