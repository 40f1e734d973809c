"""gunicorn's configuration: `gunicorn -c python:emailsync.management.webserver emailsync.wsgi`.

Threads, because requests wait for the database; one process, because SQLite has one writer. Larger
installations add `--workers`. There is no access log: addresses of pages name mailboxes.
"""

from typing import Any

from emailsync.management.launch import die_with_parent

worker_class = "gthread"
workers = 1
threads = 8
timeout = 60
graceful_timeout = 3
keepalive = 5
accesslog = None
loglevel = "warning"
control_socket_disable = True


def post_fork(_server: Any, _worker: Any) -> None:
    """Have a worker end with its master, also when that was killed."""
    die_with_parent()
