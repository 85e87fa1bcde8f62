"""Burn one second of processor time and say how long it took."""

import time

start = time.monotonic()
while time.process_time() < 1:
    pass
print(f"{time.process_time():.1f} s of work took {time.monotonic() - start:.1f} s")
