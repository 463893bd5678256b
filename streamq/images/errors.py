"""Why an image task cannot succeed, however often it is tried.

The task turns every one of these into a dead letter after one try; a sender that checks before it sends gets the same sentence.
What may pass (a missing file, a full disk, a database that is down) is no such error and is tried again.
"""

from __future__ import annotations

from streamq.errors import UsageError


class ImageError(UsageError):
    """Base of the errors of the image task that trying again would not mend."""


class ForbiddenPath(ImageError):
    """A path outside of the roots, or one that is no ordinary file."""


class BadOperation(ImageError):
    """An operation, a parameter, a format or a name template that makes no sense."""


class BadImage(ImageError):
    """A file that is no image of an allowed format, is broken, or is larger than the limits allow."""
