"""Who may open a view."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def requires(permission: str, *, to: str) -> Callable[[View[P]], View[P]]:
    """Refuse people without `permission`; `to` completes the sentence "You may not …"."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.has_perm(permission):
                raise PermissionDenied(
                    f"You may not {to}. Ask an administrator of this console for the permission."
                )
            return view(request, *args, **kwargs)

        return guarded

    return decorate
