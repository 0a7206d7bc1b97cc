"""Where things are on Windows. Administrators may write programs, the service may write its data."""

import os
from pathlib import Path

SERVICE = "notebake"
# A virtual account: Windows makes it for the service, without a password, groups or rights of its own.
ACCOUNT = rf"NT SERVICE\{SERVICE}"

GUEST = Path(__file__).resolve().parent
HOME = GUEST.parent
STATE = Path(os.environ["PROGRAMDATA"]) / "notebake"
# The service may write here: its certificate, its token, IPython's folder and the notebooks.
DATA = STATE / "data"
TLS = DATA / "tls"
TOKEN = DATA / "token"
# Holds the certificate's fingerprint and the id of the server's process; written when certificate and token
# are in place. A file that an earlier boot left names no process, so setup.ps1 does not print it.
READY = DATA / "ready"
CONFIG = STATE / "config"
LOG = STATE / "logs" / "notebook.log"
