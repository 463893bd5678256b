"""Measures streamq beside what it is compared with, in one run: absolute figures drift with the machine, ratios much less."""
