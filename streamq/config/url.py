"""Addresses as they may be shown: without their passwords.

Every address that is printed, logged or put into an error or a JSON answer goes through `mask` first.
"""

from __future__ import annotations

import re

#: What stands for a password.
MASK = "***"

# Greedy up to the last @, since a password that was not percent-encoded may hold any character.
_USERINFO = re.compile(r"(?<=://)([^:@/]*):.*@", re.DOTALL)
_PARAMETER = re.compile(r"([?&](?:[^=&]*_)?(?:password|passwd|pwd|token|secret)=)[^&#]*", re.IGNORECASE)


def mask(url: str) -> str:
    """Return an address with its password, in the user part or in a parameter, replaced by `***`; any text may be given."""
    return _PARAMETER.sub(rf"\g<1>{MASK}", _USERINFO.sub(rf"\g<1>:{MASK}@", url))
