"""Addresses as they may be shown: without their passwords.

Every address that is printed, logged or put into an error or a JSON answer goes through `mask` first; what others
wrote, such as the errors and tracebacks of handlers, goes through `scrub`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What stands for a password.
MASK = "***"

_NAME = r"[^=&#\s]*(?:pass|pwd|token|secret|auth|credential|%)[^=&#\s]*"
_PARAMETER = re.compile(rf"([?&]{_NAME}=)[^&#]*", re.IGNORECASE)
# Greedy up to the last @, since a password that was not percent-encoded may hold any character.
_USERINFO = re.compile(r"(:/+)([^:@]*):.*@", re.DOTALL)
# Without its scheme an address is refused, and may still be one.
_BARE = re.compile(r"^([^:@\s]*):(?!/)\S*@")
# In an address of Redis, who stands alone before the @ is likelier a password than a user without one.
_ALONE = re.compile(r"^((?:rediss?|unix)://)[^:@]+@", re.IGNORECASE)

# Where an address of Redis has a port, a number of a database or a parameter, what is none of these may be a password in the
# wrong place; what follows # means nothing there. A sentence may go on behind the address.
_NO_NUMBER = r"(?!\d*[^\w/?#]*(?:[/?#]|$))"
_MISPLACED = (
    re.compile(rf"^(rediss?://(?:[^@]*@)?(?:\[[^\]]*\]|[^/?#@:\[]*):){_NO_NUMBER}(?!.*@)[^/?#]+", re.IGNORECASE),
    re.compile(rf"^(rediss?://[^/?#]*/){_NO_NUMBER}[^?#]+", re.IGNORECASE),
    re.compile(r"^((?:rediss?|unix)://[^?#]*\?(?:[^#]*&)?)[^=&#]+(?=[&#]|$)", re.IGNORECASE),
    re.compile(r"^((?:rediss?|unix)://[^#]*#).+", re.IGNORECASE | re.DOTALL),
)

# A parameter that is not one of these, with such a value, may be a misspelt one of a password. A sentence may go on behind it.
_NUMBER, _FLAG, _PATH = r"\d+(?:\.\d+)?", "(?:true|false|yes|no|[01])", r"[^?&#=;]+"
_OF_REDIS = (
    rf"(?:db|socket_timeout|socket_connect_timeout|timeout|socket_read_size|max_connections|health_check_interval)={_NUMBER}",
    rf"(?:protocol|ssl_min_version)={_NUMBER}",
    rf"(?:socket_keepalive|retry_on_timeout|decode_responses|ssl_check_hostname)={_FLAG}",
    rf"(?:ssl_ca_certs|ssl_ca_path|ssl_certfile|ssl_keyfile)={_PATH}",
    "ssl_cert_reqs=(?:none|optional|required)",
)
_OF_POSTGRESQL = (
    rf"(?:port|connect_timeout)={_NUMBER}",
    rf"(?:host|hostaddr|sslrootcert|sslcert|sslkey|sslcrl)={_PATH}",
    "sslmode=(?:disable|allow|prefer|require|verify-ca|verify-full)",
)


def _all_but(harmless: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"([?&](?!(?:{'|'.join(harmless)})[:,.;)]*(?:[&#]|$))[^=&#]*=)[^&#]*", re.IGNORECASE)


#: The beginning of an address -> those of its parameters that are hidden.
_PARAMETERS = (
    (re.compile("(?:rediss?|unix)://", re.IGNORECASE), _all_but(_OF_REDIS)),
    (re.compile(r"postgres(?:ql)?(?:\+\w+)?://", re.IGNORECASE), _all_but(_OF_POSTGRESQL)),
)
# Where ? stands before @, nobody knows which of them belongs to a password: all behind the scheme may.
_TANGLED = re.compile(r"^((?:rediss?|unix|postgres(?:ql)?(?:\+\w+)?)://)[^#]*\?.*@.*", re.IGNORECASE | re.DOTALL)

_SCHEME = re.compile(r"\s*[a-z][a-z0-9+.-]{0,20}://", re.IGNORECASE)

# In the middle of a text an address ends where a space, a quote or a bracket stands.
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s\"'<>()\[\]{}]+", re.IGNORECASE)


def mask(url: str) -> str:
    """Return an address with its password, in the user part or in a parameter, replaced by `***`; any text may be given.

    Of an address of Redis or PostgreSQL only parameters are shown that are known to hold no password.
    """
    url = _TANGLED.sub(rf"\g<1>{MASK}", url)
    url = _ALONE.sub(rf"\g<1>{MASK}@", _USERINFO.sub(rf"\g<1>\g<2>:{MASK}@", url))
    for misplaced in _MISPLACED:
        url = misplaced.sub(rf"\g<1>{MASK}", url)
    for beginning, hidden in _PARAMETERS:
        if beginning.match(url):
            url = hidden.sub(rf"\g<1>{MASK}", url)
    return _PARAMETER.sub(rf"\g<1>{MASK}", _BARE.sub(rf"\g<1>:{MASK}@", url))


def outline(value: object) -> str:
    """Return what may be shown of a value that was to be an address and is none: all of it may be a secret, but for a scheme."""
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    scheme = _SCHEME.match(value)
    return f"what begins with {scheme[0]!r}" if scheme else "a text without a scheme"


def scrub(text: str) -> str:
    """Return a text with the passwords of all addresses in it replaced by `***`."""
    return _ADDRESS.sub(lambda found: mask(found[0]), text) if "://" in text else text
