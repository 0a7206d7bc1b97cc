"""The password: hashed here with argon2id, in the one form that jupyter_server reads."""

from __future__ import annotations

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from notebake.errors import SpecError

# jupyter_server's own cost (jupyter_server.auth.security.passwd): 10 MiB, 10 passes, 8 lanes.
_MEMORY_KIB = 10240
_PASSES = 10
_LANES = 8


def password_hash(password: str, *, salt: bytes) -> str:
    """`argon2:` and the PHC string of `password`; `salt` is 16 random bytes.

    Raises SpecError for an empty password.
    """
    if not password:
        raise SpecError("the password is empty", "leave it out altogether and each machine makes a token")
    kdf = Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY_KIB)
    return "argon2:" + kdf.derive_phc_encoded(password.encode("utf-8"))
