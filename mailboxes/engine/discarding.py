"""Remove the files of large messages that nothing refers to any more.

Files are named by their content, so messages of several mailboxes share one, and a worker may be storing the
same content at this moment. The file is put aside first and only then asked for: whoever refers to it by then
gets it back, and whoever stores it later finds it missing and writes it anew (`preparing.restore`).
"""

import logging
from collections.abc import Collection
from pathlib import Path

from django.core.files.storage import default_storage

from mailboxes.models import RawMessage

log = logging.getLogger(__name__)


def discard(names: Collection[str]) -> None:
    """Remove those of the files `names` that no message refers to. Call it after the commit."""
    for name in names:
        path = Path(default_storage.path(name))
        aside = path.with_name(f"{path.name}.discarded")
        try:
            path.rename(aside)
        except FileNotFoundError:
            continue
        except OSError as error:
            log.warning("The file of a deleted message could not be removed: %s", error)
            continue
        if RawMessage.objects.filter(file=name).exists():
            aside.rename(path)
        else:
            aside.unlink(missing_ok=True)
