"""What is told about server profiles to those who use them, without knowing them.

A receiver runs inside the transaction of the change: what it does happens together with it, or not at all.
"""

from django.dispatch import Signal

#: How `profile` connects in `directions` is not what was tested before. `redirected` says what of its
#: mailboxes goes to new hosts since `now`: see `profiles.destinations`. Sent with `sender`, the model.
connection_changed = Signal()
#: The profiles with these keys (`profiles`) were switched on or off (`active`) at `now`.
switched = Signal()
#: `person` has other roles in `environment` since `now`; `has_role` says whether any.
roles_changed = Signal()
