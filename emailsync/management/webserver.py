"""gunicorn's configuration: `gunicorn -c python:emailsync.management.webserver emailsync.wsgi`.

Threads, because requests wait for the database; one process, because SQLite has one writer. Larger
installations add `--workers`. There is no access log: addresses of pages name mailboxes.
"""

worker_class = "gthread"
workers = 1
threads = 8
timeout = 60
graceful_timeout = 3
keepalive = 5
accesslog = None
loglevel = "warning"
control_socket_disable = True
