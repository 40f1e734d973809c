"""The environment turned into settings. Nothing else in the project reads the environment.

Every variable is listed, with its default and meaning, in docs/settings.md.
"""

import stat
from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

from emailsync.mail.endpoint import NetworkPolicy, parse_networks, parse_ports

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DATA_DIR = Path(env.str("EMAILSYNC_DATA_DIR", default=str(BASE_DIR / "data"))).absolute()
DEBUG = env.bool("EMAILSYNC_DEBUG", default=False)


def _secret_key() -> str:
    """Return the signing key from the environment or from the data folder, where `up` writes one."""
    key = env.str("EMAILSYNC_SECRET_KEY", default="")
    path = DATA_DIR / "secret.key"
    if key or not path.exists():
        return key or "insecure-until-a-key-is-set"
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ImproperlyConfigured(f"{path} can be read by others. Run: chmod 600 {path}")
    return path.read_text(encoding="ascii").strip()


def _policy() -> NetworkPolicy:
    """Return which servers the product may connect to; a wrong value names its variable."""
    try:
        ports = parse_ports(env.str("EMAILSYNC_ALLOWED_PORTS", default="80,443,465,587,993,995"))
    except ValueError as error:
        raise ImproperlyConfigured(f"EMAILSYNC_ALLOWED_PORTS: {error}") from error
    try:
        networks = parse_networks(env.str("EMAILSYNC_ALLOWED_NETWORKS", default=""))
    except ValueError as error:
        raise ImproperlyConfigured(f"EMAILSYNC_ALLOWED_NETWORKS: {error}") from error
    plain = env.bool("EMAILSYNC_ALLOW_NON_SSL_EMAIL", default=False)
    return NetworkPolicy(allowed_ports=ports, allowed_networks=networks, allow_plain=plain)


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.list("EMAILSYNC_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("EMAILSYNC_CSRF_TRUSTED_ORIGINS", default=[])
# Where links in the product's own mail lead; without it they name the page only.
PUBLIC_URL = env.str("EMAILSYNC_PUBLIC_URL", default=next(iter(CSRF_TRUSTED_ORIGINS), "")).rstrip("/")

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "emailsync.apps.EmailsyncConfig",
    "emailsync.web",
    "profiles",
    "mailboxes.apps.MailboxesConfig",
]
MIDDLEWARE = [
    "emailsync.web.security.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Before the check of forms, which reads what was sent.
    "emailsync.web.signin.StrangersMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "emailsync.web.zone.TimeZoneMiddleware",
]
ROOT_URLCONF = "emailsync.urls"
WSGI_APPLICATION = "emailsync.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mailboxes.context.alerts",
            ]
        },
    }
]
FORM_RENDERER = "emailsync.web.rendering.ConsoleRenderer"

# One writer at a time and readers beside it; IMMEDIATE takes the lock at BEGIN, where waiting is possible.
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'emailsync.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=20000;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "emailsync_cache",
        # Attempts to sign in are counted here: a stranger's many names must not push others' counts out.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "profiles:environment_list"
LOGOUT_REDIRECT_URL = "login"

LANGUAGE_CODE = "en"
# A language stands here when its catalogue is complete; dates follow the reader's language already.
LANGUAGES = [("en", "English")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = env.path("EMAILSYNC_STATIC_ROOT", default=str(DATA_DIR / "static"))
MEDIA_ROOT = DATA_DIR / "raw"
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": MEDIA_ROOT,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Security of the console. Cookies and redirects follow how the console is reached.
HTTPS_ONLY = env.bool("EMAILSYNC_HTTPS_ONLY", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^health/"]
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS_ONLY
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = env.int("EMAILSYNC_SESSION_SECONDS", default=12 * 3600)
# SecurityHeadersMiddleware sends X-Frame-Options (and frame-ancestors) itself, page by page.
# What an index of PostgreSQL carries along stands in the table alone on SQLite (W040): nothing is lost.
SILENCED_SYSTEM_CHECKS = ["security.W002", "models.W040"]
CSRF_FAILURE_VIEW = "emailsync.web.errors.csrf_failure"
TRUST_PROXY_HEADERS = env.bool("EMAILSYNC_TRUST_PROXY_HEADERS", default=False)
if TRUST_PROXY_HEADERS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    USE_X_FORWARDED_HOST = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 200 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

# Secrets of profiles and mailboxes.
ENCRYPTION_KEYS = env.str("EMAILSYNC_ENCRYPTION_KEYS", default="")
ENCRYPTION_KEY_FILE = Path(
    env.str("EMAILSYNC_ENCRYPTION_KEY_FILE", default=str(DATA_DIR / "encryption.keys"))
)
ALLOW_CREDENTIALS_ENTRY_VIA_NON_SECURE_CHANNELS = env.bool(
    "ALLOW_CREDENTIALS_ENTRY_VIA_NON_SECURE_CHANNELS", default=False
)

# Mail of the product itself: the alert email to a profile's owner. Without it only the walls tell.
vars().update(env.email_url("EMAILSYNC_EMAIL_URL", default="dummymail://"))
EMAIL_TIMEOUT = 30
DEFAULT_FROM_EMAIL = env.str("EMAILSYNC_EMAIL_FROM", default="emailsync@localhost")

# The engine.
NETWORK_POLICY = _policy()
POLL_INTERVAL = timedelta(seconds=env.float("EMAILSYNC_POLL_INTERVAL", default=30.0))
RETRY_DELAY = timedelta(seconds=env.float("EMAILSYNC_RETRY_DELAY", default=300.0))
RETRY_LIMIT = env.int("EMAILSYNC_RETRY_LIMIT", default=10)
LEASE = timedelta(seconds=env.float("EMAILSYNC_LEASE", default=60.0))
# The brake against bans: so many refused sign-ins at one host, or of so many mailboxes, within the window.
BRAKE_REFUSALS = env.int("EMAILSYNC_BRAKE_REFUSALS", default=10)
BRAKE_MAILBOXES = env.int("EMAILSYNC_BRAKE_MAILBOXES", default=5)
BRAKE_WINDOW = timedelta(seconds=env.float("EMAILSYNC_BRAKE_WINDOW", default=600.0))
BRAKE_PAUSE = timedelta(seconds=env.float("EMAILSYNC_BRAKE_PAUSE", default=60.0))
BRAKE_LONGEST_PAUSE = timedelta(seconds=env.float("EMAILSYNC_BRAKE_LONGEST_PAUSE", default=3600.0))
# How long before its end a client secret or a permission of OAuth is told of.
EXPIRY_NOTICE = timedelta(days=env.float("EMAILSYNC_EXPIRY_NOTICE_DAYS", default=14.0))
RUN_DEADLINE = timedelta(seconds=env.float("EMAILSYNC_RUN_DEADLINE", default=120.0))
TICK = env.float("EMAILSYNC_TICK", default=0.5)
MAXIMUM_MESSAGE_SIZE = env.int("EMAILSYNC_MAXIMUM_MESSAGE_SIZE", default=150 * 1024 * 1024)
ADMIN_PASSWORD = env.str("EMAILSYNC_ADMIN_PASSWORD", default="")
WEB_HOST = env.str("HOST", default="127.0.0.1")
WEB_PORT = env.str("PORT", default="8000")
WORKER_CONCURRENCY = env.int("EMAILSYNC_WORKER_CONCURRENCY", default=8)

# The broker carries wake-ups only; `filesystem://` needs nothing but a folder.
BROKER_DIR = DATA_DIR / "broker"
CELERY_BROKER_URL = env.str("EMAILSYNC_BROKER_URL", default="filesystem://")
if CELERY_BROKER_URL == "filesystem://":
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(BROKER_DIR),
        "data_folder_out": str(BROKER_DIR),
        "control_folder": str(BROKER_DIR / "control"),
        "polling_interval": 0.05,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 5}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "sync"
# A worker takes from all three unless `--queues` says otherwise.
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(name), routing_key=name) for name in ("interactive", "deliver", "sync")
]
CELERY_TASK_ROUTES = {
    "mailboxes.tasks.detect": {"queue": "interactive"},
    "mailboxes.tasks.diagnose": {"queue": "interactive"},
    "mailboxes.tasks.run_job": {"queue": "interactive"},
    "mailboxes.tasks.exchange_code": {"queue": "interactive"},
    "mailboxes.tasks.deliver": {"queue": "deliver"},
}
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_POOL = "threads"
CELERY_WORKER_CONCURRENCY = WORKER_CONCURRENCY
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.str("EMAILSYNC_LOG_LEVEL", default="INFO")},
    "loggers": {
        # Library debug output holds whole conversations, credentials among them.
        "imapclient": {"level": "WARNING"},
        "django.db.backends": {"level": "WARNING"},
        # A broker that is a folder has no host name, which kombu mentions again and again.
        "kombu.connection": {"level": "ERROR"},
    },
}
