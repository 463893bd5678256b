"""What `streamq bench` measures: what this installation, its server and this machine do in a second.

    ground.py    a queue and a folder of its own for one run, and their removal
    claim.py     whose queue it is, and the removal of what runs left that are gone
    tasks.py     the tasks that its worker runs
    crew.py      that worker, in a process of its own
    field.py     tasks sent to the worker, and followed until they have ended
    bare.py      the yardstick: redis-py alone
    sending.py, running.py, pictures.py, latency.py   one part each
    figures.py   what comes of them
    hints.py     what to look at when a figure is low
    course.py    the whole run, part by part

Called by `streamq.cli.bench`. Every figure is of whole tasks through the public ways: sent by `App`, run by a worker as `consume`
has it, counted by the server.
"""
