"""Print the median time of a command, and of its fastest run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

times = []
for _ in range(11):
    start = time.perf_counter()
    if subprocess.run(sys.argv[1:], check=False).returncode:
        sys.exit("the command failed")
    times.append((time.perf_counter() - start) * 1000)
middle, best = statistics.median(times), min(times)
print(f"run --rm --network none demo true: {middle:.0f} ms (best {best:.0f} ms) of {len(times)} runs")
