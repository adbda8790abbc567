"""Prints the version of this Python and how it can install packages: venv or pip.

Fails where it is older than 3.x, x being the argument, or can install none.
"""

import importlib.util
import sys

if sys.version_info < (3, int(sys.argv[1])):
    sys.exit(1)
if importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip"):
    installs = "venv"
elif importlib.util.find_spec("pip"):
    installs = "pip"
else:
    sys.exit(1)
print(sys.version.split()[0], installs)
