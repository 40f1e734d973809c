"""The web server's door: a WSGI application for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "emailsync.settings")
application = get_wsgi_application()

from emailsync import checks  # noqa: E402  (needs Django set up)

checks.refuse_unsafe_start()
