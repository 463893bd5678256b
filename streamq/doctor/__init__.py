"""The doctor: what the server at hand can promise and what it cannot, what is wrong with a queue, and the mending of it.

examine.py    the whole examination and its report
finding.py    the checks by name, and what one says
server.py     durability, eviction, memory, replicas, clock
rights.py     the commands that a queue needs, and whether the user may use them
directory.py  the data directory of the embedded server
workers.py    who works, who was lost, which tasks hang
consumers.py  the consumer group, and who is in it without being a worker
ids.py        the ids that its streams give
queue.py      entries, counts and figures
survey.py     looks over what a queue holds, in slices
mend.py       mends what is safe to mend
"""
