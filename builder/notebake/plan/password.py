"""Hash the password with argon2id, as jupyter_server reads it; refuse one that is easy to guess."""

from __future__ import annotations

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from notebake.errors import SpecError

# The parameters of jupyter_server (jupyter_server.auth.security.passwd): 10 MiB, 10 passes, 8 lanes.
_MEMORY_KIB = 10240
_PASSES = 10
_LANES = 8
# NIST SP 800-63B: at least 8 characters, and none that lists of common passwords have.
_SHORTEST = 8
# zxcvbn's "safely unguessable": more than 10^8 guesses.
_SCORE = 3
_LONGEST = 72  # zxcvbn reads no more
_KNOWN = ("notebake", "notebook", "jupyter", "ipython", "azureuser")


def check(password: str) -> None:
    """Raise SpecError for a password that is short or easy to guess."""
    # Here, not above: its word lists take a moment to load.
    from zxcvbn import zxcvbn

    hint = "use a few uncommon words, or --weak to set it all the same"
    if len(password) < _SHORTEST:
        raise SpecError(f"the password is too short: at least {_SHORTEST} characters", hint)
    found = zxcvbn(password[:_LONGEST], user_inputs=_KNOWN)
    if found["score"] < _SCORE:
        why = str(found["feedback"]["warning"]).rstrip(".") or "it takes too few guesses"
        raise SpecError(f"the password is too weak: {why[0].lower()}{why[1:]}", hint)


def password_hash(password: str, *, salt: bytes) -> str:
    """Return `argon2:` followed by the PHC string of `password`. `salt` is 16 random bytes.

    Raises SpecError for an empty password.
    """
    if not password:
        raise SpecError("the password is empty", "omit the password: each machine then generates a token")
    kdf = Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return "argon2:" + kdf.derive_phc_encoded(password.encode("utf-8"))
