"""Where notebake's things are on Windows. Programs are for administrators to write, state for the service."""

import os
from pathlib import Path

SERVICE = "notebake"
# A virtual account: made by Windows for the service, without password, group or right of its own.
ACCOUNT = rf"NT SERVICE\{SERVICE}"

GUEST = Path(__file__).resolve().parent
HOME = GUEST.parent
STATE = Path(os.environ["PROGRAMDATA"]) / "notebake"
# What the service may write: its certificate, its token, IPython's folder and the notebooks.
DATA = STATE / "data"
TLS = DATA / "tls"
TOKEN = DATA / "token"
READY = DATA / "ready"
CONFIG = STATE / "config"
LOG = STATE / "logs" / "notebook.log"
