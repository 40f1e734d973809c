# One image for the web server, the worker and one-off commands:
#   web     (default)
#   worker  python -m emailsync.management.worker
#   set-up  python manage.py migrate && python manage.py createcachetable
FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/emailsync
COPY requirements/production.txt /tmp/production.txt
RUN /opt/emailsync/bin/pip install --quiet --require-hashes --only-binary :all: --requirement /tmp/production.txt


FROM python:3.11-slim-bookworm

ENV PATH=/opt/emailsync/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    EMAILSYNC_DATA_DIR=/data \
    EMAILSYNC_STATIC_ROOT=/srv/emailsync/collected

# A number, so that orchestrators can see that it is not root.
RUN groupadd --system --gid 10001 emailsync \
    && useradd --system --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin emailsync \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data

COPY --from=build /opt/emailsync /opt/emailsync
WORKDIR /srv/emailsync
COPY manage.py ./
COPY emailsync emailsync
COPY locale locale
COPY mailboxes mailboxes
COPY profiles profiles
COPY static static
COPY templates templates
# Compiled now, because the file system is read-only later.
RUN python manage.py collectstatic --noinput --verbosity 0 \
    && python -m compileall -q emailsync mailboxes profiles

USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
CMD ["gunicorn", "--config", "python:emailsync.management.webserver", "--bind", "0.0.0.0:8000", "emailsync.wsgi"]
