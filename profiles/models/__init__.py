"""Environments, their people, how to reach servers (server profiles), and what new mailboxes start with."""

from profiles.models.email_settings import MAXIMUM_ATTACHMENT_KB, EmailSettings, file_ending
from profiles.models.environment import Environment
from profiles.models.membership import Membership
from profiles.models.server_profile import ServerProfile
from profiles.models.versioned import StaleRecord, Versioned, save_version

__all__ = [
    "MAXIMUM_ATTACHMENT_KB",
    "EmailSettings",
    "Environment",
    "Membership",
    "ServerProfile",
    "StaleRecord",
    "Versioned",
    "file_ending",
    "save_version",
]
