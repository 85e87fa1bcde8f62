"""Remove the demo's state; files of a rootless user's subordinate ids need a user namespace of theirs to go."""

import os
import shutil
import subprocess
import sys

shutil.rmtree(sys.argv[1], ignore_errors=True)
if os.path.exists(sys.argv[1]):
    subprocess.run(["unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", sys.argv[1]], check=False)
