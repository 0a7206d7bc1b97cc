"""Where things are on Linux. windows/paths.py has the same names for Windows."""

from pathlib import Path

GUEST = Path(__file__).resolve().parent
HOME = Path("/opt/notebake")
STATE = Path("/var/lib/notebake")
CA_BUNDLE = HOME / "ca.pem"
TOKEN = STATE / "token"
# Holds the fingerprint of the certificate; written when certificate and token are in place.
READY = Path("/run/notebake/certificate")
