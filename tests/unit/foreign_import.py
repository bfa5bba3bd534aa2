"""A module that never comes to the end of its import."""

import time

time.sleep(3600)
