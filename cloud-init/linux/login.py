"""Log-in by password or token, with a limit: each failed attempt makes the next one wait longer."""

import concurrent.futures
import ipaddress
import math
import time

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.identity import PasswordIdentityProvider
from jupyter_server.auth.login import LoginFormHandler
from tornado.ioloop import IOLoop

EVERYONE = "everyone"
FORGET_SECONDS = 3600
KEPT = 10_000


class Failures:
    """Counts failed attempts of each address, and in all; an IPv6 address counts as its /64.

    The first five of an address are free, then it must wait 1, 2, 4 ... at most 300 seconds. After 20 in all
    everyone must wait up to 10 seconds, except addresses that have logged in before.
    """

    def __init__(self):
        self.counts = {}  # key: (failures, time of the last one)
        self.known = set()

    def wait(self, address, now):
        """Return the seconds to wait; if 0, count an attempt, which `succeeded` takes back."""
        key = self.key(address)
        limits = {key: (5, 300), EVERYONE: (20, 10)}
        if key in self.known:
            del limits[EVERYONE]
        wait = 0
        for name, (free, longest) in limits.items():
            count, last = self.counts.get(name, (0, now))
            if count >= free:
                wait = max(wait, last + min(2 ** min(count - free, 20), longest) - now)
        if wait <= 0:
            for name in (key, EVERYONE):
                count, last = self.counts.pop(name, (0, now))
                self.counts[name] = (count + 1 if now - last < FORGET_SECONDS else 1, now)
            if len(self.counts) > KEPT:
                del self.counts[next(iter(self.counts))]
        return max(0, math.ceil(wait))

    def succeeded(self, address):
        """Forget the failures of an address."""
        key = self.key(address)
        self.known.add(key)
        failures = self.counts.pop(key, (0, 0))[0]
        count, last = self.counts.get(EVERYONE, (0, 0))
        self.counts[EVERYONE] = (max(0, count - failures), last)

    @staticmethod
    def key(address):
        return ipaddress.ip_network(f"{address.split('%')[0]}/{64 if ':' in address else 32}", strict=False)


class Handler(LoginFormHandler):
    """The log-in form."""

    @allow_unauthenticated
    async def post(self):
        provider, address = self.identity_provider, self.request.remote_ip
        seconds = provider.failures.wait(address, time.monotonic())
        if seconds:
            self.set_status(429)
            self.set_header("Retry-After", str(seconds))
            self._render({"error": f"Too many failed log-ins: try again in {seconds} seconds"})
            return
        # One at a time, and not on the server's loop: a hash takes memory and a processor.
        user = await IOLoop.current().run_in_executor(provider.hashing, provider.process_login_form, self)
        if user is None:
            self.set_status(401)
            self._render({"error": "Invalid credentials"})
            return
        provider.failures.succeeded(address)
        self.current_user = user
        provider.set_login_cookie(self, user)
        self._redirect_safe(self.get_argument("next", default=self.base_url))


class Provider(PasswordIdentityProvider):
    """Who may log in."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.login_handler_class = Handler
        self.failures = Failures()
        self.hashing = concurrent.futures.ThreadPoolExecutor(1)

    def clear_login_cookie(self, handler):
        """Secure, as each cookie is."""
        handler.clear_cookie(self.get_cookie_name(handler), path=handler.base_url, secure=True)
