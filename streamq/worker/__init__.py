"""The worker: a supervisor process and its children, which take, run and settle tasks.

`supervisor.py` starts the children (`child.py`), keeps their leases (`keeper.py`), recovers what others lost (`reaper.py`)
and ends a child whose task has run out of time (`deadline.py`). In a child, `fetch.py` takes tasks, `threads.py` and
`loop.py` run them, `settle.py` ends them in groups; `run.py` is one task being run. What a child runs stands in `table.py`,
in memory that outlives it.
"""
