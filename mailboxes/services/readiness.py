"""Why is this mailbox not syncing? The answer the engine itself would give."""

from mailboxes.engine.eligibility import Blocker, blockers

__all__ = ["Blocker", "blockers"]
