"""Ask the name service what a domain says about its mail: service records and mail exchangers."""

from dataclasses import dataclass, field

from dns import rdatatype
from dns.exception import DNSException, Timeout
from dns.rdtypes.ANY.MX import MX
from dns.rdtypes.IN.SRV import SRV
from dns.resolver import NXDOMAIN, Answer, NoAnswer, NoNameservers, NoResolverConfiguration, Resolver

from emailsync.mail.errors import LookupFailed

#: Seconds that one question may take, with all servers that are asked.
PATIENCE = 5.0
#: How many records of one kind are looked at.
MOST_RECORDS = 8


@dataclass(frozen=True)
class Service:
    """Where a service is offered (RFC 2782)."""

    host: str
    port: int


@dataclass
class Names:
    """The name service; by default the one that the system is set to."""

    resolver: Resolver | None = field(default=None, repr=False)

    def services(self, label: str, domain: str) -> list[Service]:
        """Return where `label`, such as "_imaps._tcp", is offered, the preferred first. Raises LookupFailed.

        A target of "." says that it is not offered (RFC 6186, section 3.4).
        """
        records = [
            record for record in self._ask(f"{label}.{domain}", rdatatype.SRV) if isinstance(record, SRV)
        ]
        records.sort(key=lambda record: (record.priority, -record.weight))
        found = [Service(record.target.to_text(omit_final_dot=True), record.port) for record in records]
        return [service for service in found if service.host not in {"", "."}]

    def exchangers(self, domain: str) -> list[str]:
        """Return the mail exchangers of a domain, the preferred first. Raises LookupFailed."""
        records = [record for record in self._ask(domain, rdatatype.MX) if isinstance(record, MX)]
        records.sort(key=lambda record: record.preference)
        hosts = [record.exchange.to_text(omit_final_dot=True).lower() for record in records]
        return [host for host in hosts if host not in {"", "."}]

    def _ask(self, name: str, kind: rdatatype.RdataType) -> list[object]:
        try:
            resolver = self.resolver or Resolver()
            answer: Answer = resolver.resolve(name, kind, lifetime=PATIENCE, search=False)
        except (NXDOMAIN, NoAnswer):
            return []
        except (Timeout, NoNameservers, NoResolverConfiguration) as problem:
            raise LookupFailed(f"The name service did not answer for {name}.") from problem
        except (DNSException, OSError, ValueError) as problem:
            raise LookupFailed(f"The name service could not be asked for {name}.") from problem
        return list(answer)[:MOST_RECORDS]
