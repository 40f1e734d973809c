"""Free ports on loopback."""

import os
import random
import socket
import time

LOOPBACK = "127.0.0.1"
# Below the kernel's ephemeral range (32768 and up), so that no outgoing connection takes the port
# between our look and the server's bind.
# The processes of a run draw from ports of their own, lest two take the same one between look and bind.
_CHOICES = range(20_000 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8, 32_000, 8)
_random = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a port of loopback that nobody listens on and that this process never gave out before."""
    while True:
        port = _random.choice(_CHOICES)
        if port in _given:
            continue
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        _given.add(port)
        return port


def is_listening(port: int) -> bool:
    """Say whether somebody accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def wait_until_listening(*ports: int, seconds: float = 60.0) -> None:
    """Return when every port accepts connections; raise TimeoutError naming the ones that do not."""
    end = time.monotonic() + seconds
    missing = list(ports)
    while missing:
        missing = [port for port in missing if not is_listening(port)]
        if missing and time.monotonic() > end:
            raise TimeoutError(f"Nobody listens on {LOOPBACK} port {', '.join(map(str, missing))}.")
        if missing:
            time.sleep(0.02)
