"""A model field for secrets: sealed in the database, closed in memory until somebody asks by name."""

from typing import Any

from django.core import checks
from django.db import models

from emailsync.crypto.keyring import SecretUnreadable, keyring

MASK = "********"


class Secret:
    """A secret that prints as a mask. `reveal()` is the only way to its text; an empty one is false."""

    __slots__ = ("_bound_to", "_plain", "_token")

    def __init__(self, plain: str = "", *, token: str = "", bound_to: str = "") -> None:
        """Hold either a plain text that was just typed or a token from the database."""
        self._plain, self._token, self._bound_to = plain, token, bound_to

    def reveal(self) -> str:
        """Return the text. Raises SecretUnreadable when the key ring cannot open the token."""
        if self._token:
            return keyring().open(self._token, bound_to=self._bound_to)
        return self._plain

    def sealed_for(self, bound_to: str) -> str:
        """Return the token to store for the row and field `bound_to`; empty stays empty."""
        if self._token and self._bound_to == bound_to:
            return self._token
        text = self.reveal()
        return keyring().seal(text, bound_to=bound_to) if text else ""

    def is_same_as(self, other: "Secret") -> bool:
        """Say whether both hold one text; one that no key opens differs from all that is typed."""
        if self._token and self._token == other._token:  # noqa: SLF001  (another one of this class)
            return True
        try:
            return self.reveal() == other.reveal()
        except SecretUnreadable:
            return False

    def __bool__(self) -> bool:
        return bool(self._plain or self._token)

    def __repr__(self) -> str:
        return MASK if self else "''"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("A secret is never pickled: pass the row's id and read it there.")


class _Attribute:
    """Turns what is assigned into a Secret that knows its row."""

    def __init__(self, field: "EncryptedTextField") -> None:
        self.field = field

    def __get__(self, instance: models.Model | None, owner: type[models.Model]) -> Any:
        if instance is None:
            return self
        if self.field.attname not in instance.__dict__:
            instance.refresh_from_db(fields=[self.field.attname])
        return instance.__dict__[self.field.attname]

    def __set__(self, instance: models.Model, value: "Secret | _Stored | str | None") -> None:
        if isinstance(value, _Stored):
            value = Secret(token=value, bound_to=self.field.bound_to(instance))
        elif not isinstance(value, Secret):
            value = Secret(value or "")
        instance.__dict__[self.field.attname] = value


class _Stored(str):
    """A token as it came from the database, told apart from a text that somebody typed."""

    __slots__ = ()


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text sealed with AES-256-GCM, bound to its row's primary key and to this field.

    The model's primary key must be known before the first save (a UUID with a default), because it is
    part of what the token is bound to. Never in forms, never searchable, never copied by `update()`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the field invisible to ModelForms: forms write secrets on purpose, by name."""
        kwargs.setdefault("blank", True)
        kwargs.setdefault("default", "")
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def contribute_to_class(  # Django gives the last one by position
        self,
        cls: type[models.Model],
        name: str,
        private_only: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        """Install the attribute that wraps values in Secret."""
        super().contribute_to_class(cls, name, private_only)
        setattr(cls, self.attname, _Attribute(self))

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Refuse models whose primary key is only known after the insert."""
        found = super().check(**kwargs)
        if not self.model._meta.pk.has_default():
            found.append(
                checks.Error(
                    "An EncryptedTextField needs a primary key with a default.", obj=self, id="emailsync.E010"
                )
            )
        return found

    def bound_to(self, instance: models.Model) -> str:
        """Return the name of this field in this row, as it enters the associated data."""
        return f"{self.model._meta.label_lower}.{self.attname}:{instance.pk}"

    def reseal(self, pk: object, token: str) -> bool:
        """Seal `token`, stored in the row `pk`, with the first key; say whether it still stood there.

        Raises SecretUnreadable when no key opens it.
        """
        ring, bound_to = keyring(), self.bound_to(self.model(pk=pk))
        fresh = ring.seal(ring.open(token, bound_to=bound_to), bound_to=bound_to)
        row = self.model._base_manager.filter(pk=pk, **{self.attname: _Stored(token)})
        return bool(row.update(**{self.attname: _Stored(fresh)}))

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        """Leave a secret as it is: `full_clean` must never put its printed mask in its place."""
        return value

    def from_db_value(self, value: str | None, *_: object) -> _Stored | None:
        """Mark a value as a token."""
        return None if value is None else _Stored(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> str:  # noqa: FBT001  (Django's signature)
        """Seal what was assigned and keep the sealed form on the instance."""
        secret: Secret = getattr(model_instance, self.attname)
        token = secret.sealed_for(self.bound_to(model_instance))
        setattr(model_instance, self.attname, _Stored(token))
        return _Stored(token)

    def get_prep_value(self, value: Any) -> Any:
        """Let only tokens through: a plain text must never reach the database by `update()` or a filter."""
        if value in ("", None) or isinstance(value, _Stored):
            return value if value is None else str(value)
        raise TypeError(f"{self.attname} is a secret: set it on an instance and save that.")

    def value_to_string(self, obj: models.Model) -> str:
        """Leave secrets out of serialised data (dumpdata)."""
        return ""
