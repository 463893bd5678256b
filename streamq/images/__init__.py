"""The task `image`: a user of streamq's interface like any other, and the one that it ships.

Pillow is imported here and nowhere else in the package, and nothing here knows Redis: a task gets its arguments, its `Context`
and the settings, and returns what it made or raises a verdict.
"""
