"""Search for the mail servers of a domain, for a server profile that is being filled in."""

from dataclasses import astuple

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_noop

from emailsync.mail.detecting import Candidate, Detected, Detector
from emailsync.mail.names import Names
from emailsync.mail.wire import Deadline, Wire
from mailboxes.choices import RunState
from mailboxes.engine import scheduling
from mailboxes.models import Detection

#: Seconds that a search takes at most, and that one server is waited for.
SECONDS = 90.0
PATIENCE = 6.0
#: How often a search that does not come to its end is begun. Each claim counts the fence up by one.
ATTEMPTS = 3
BROKEN_OFF = gettext_noop("The search never came to its end. Enter the servers by hand.")


def run(pk: str) -> None:
    """Do a search, if it is still there to be done. It may be done twice: the second writes the same."""
    lease = scheduling.claim_running(Detection, pk, now=timezone.now())
    if lease is None:
        return
    with scheduling.working(lease):
        if lease.fence > ATTEMPTS:
            lease.rows.update(state=RunState.FAILED, finished_on=timezone.now(), note=BROKEN_OFF)
            scheduling.release(lease)
            return
        domain = Detection.objects.values_list("domain", flat=True).get(pk=pk)
        wire = Wire(policy=settings.NETWORK_POLICY, timeout=PATIENCE, deadline=Deadline.after(SECONDS))
        detector = Detector(domain, wire, Names())

        def tell() -> None:
            lease.rows.update(**_columns(detector.found))

        found = detector.run(tell)
        lease.rows.update(**_columns(found), state=RunState.DONE, finished_on=timezone.now())
        scheduling.release(lease)


def _columns(found: Detected) -> dict[str, object]:
    fields: dict[str, object] = {}
    sides = {"incoming": found.incoming, "outgoing": found.outgoing}
    for side, candidate in sides.items():
        if candidate is not None:
            fields |= _fields(side, candidate)
    return {
        "found": fields,
        "sources": {side: candidate.source for side, candidate in sides.items() if candidate is not None},
        "note": found.note,
        "tried": [astuple(attempt) for attempt in found.tried],
    }


def _fields(side: str, candidate: Candidate) -> dict[str, object]:
    """Return the fields of a server profile that name a server."""
    endpoint = candidate.endpoint
    fields: dict[str, object] = {
        f"{side}_location": endpoint.host,
        f"{side}_port": endpoint.port,
        f"{side}_security": endpoint.security.value,
    }
    return {"incoming_protocol": endpoint.protocol.value, **fields} if side == "incoming" else fields
