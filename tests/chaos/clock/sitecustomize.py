"""A clock that is wrong: on the path of a worker under chaos, every program that starts there tells another time."""

import os
import time

_WRONG = int(os.environ["STREAMQ_CHAOS_CLOCK"])
_time, _time_ns = time.time, time.time_ns

time.time = lambda: _time() + _WRONG
time.time_ns = lambda: _time_ns() + _WRONG * 10**9
