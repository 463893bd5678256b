"""The worker: a supervisor process and its children, which take, run and settle tasks.

`supervisor.py` starts the children (`spawn.py`, `child.py`), keeps their leases (`keeper.py`), recovers what others lost
(`reaper.py`), ends a child whose task has run out of time and settles for one that has died (`aftermath.py`). In a child,
`fetch.py` takes tasks, `threads.py` and `loop.py` run them, `settle.py` ends them in groups; `run.py` is one task being run,
`compare.py` finds what was lost on the way. What a child runs stands in `table.py`, in memory that outlives it. Each of these has
threads of its own (`part.py`); what the two sides tell each other is in `control.py`.
"""
