"""Hash the password with argon2id, in the format that jupyter_server reads."""

from __future__ import annotations

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from notebake.errors import SpecError

# The parameters of jupyter_server (jupyter_server.auth.security.passwd): 10 MiB, 10 passes, 8 lanes.
_MEMORY_KIB = 10240
_PASSES = 10
_LANES = 8


def password_hash(password: str, *, salt: bytes) -> str:
    """Return `argon2:` followed by the PHC string of `password`. `salt` is 16 random bytes.

    Raises SpecError for an empty password.
    """
    if not password:
        raise SpecError("the password is empty", "omit the password: each machine then generates a token")
    kdf = Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return "argon2:" + kdf.derive_phc_encoded(password.encode("utf-8"))
