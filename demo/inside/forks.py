"""Fork until it is refused."""

import os
import signal
import time

children = []
try:
    while len(children) < 1000:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
    print("no limit:", len(children), "processes")
except OSError as error:
    print(len(children), "children, then:", error.strerror)
for child in children:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
