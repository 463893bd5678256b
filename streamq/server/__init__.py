"""The server: which one, how it is started, how it is talked to, and what it can do.

Nothing above this package knows redis-py: what leaves it are bytes, numbers and the errors of `streamq.errors`.

    endpoint.py   which server the settings mean: a URL, or the embedded one of a data directory
    connect.py    Link: one connection that translates every error and never repeats a command by itself
    dial.py       opens the socket of a URL, by redis-py
    resp.py       Redis's protocol over an open socket, by hiredis
    reply.py      what a server's error reply means
    patience.py   waiting, bounded, for a server that is away
    probe.py      what kind of server it is, and what it can promise
    embedded.py   the embedded server: ensure, stop, status
    directory.py  its data directory: owner, locks, socket path, record of the version that wrote it
    binary.py     the server binary, and which versions may follow each other
"""
