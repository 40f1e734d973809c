"""The mail library: speak IMAP and SMTP, parse and compose messages. It knows neither Django nor Celery."""
