"""One place where a model call waits, so that its deadlines and its cancel hold in every phase."""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time

from sora.aside import cooperative
from sora.engine.generation import Call
from sora.errors import UpstreamTimeout
from sora.providers.alarm import Alarm


class Waiting:
    """What a call is waiting for: a socket, or time to pass.

    Made by the thread that makes the call. `call.cancel()` wakes it from any thread at once: the socket it
    holds is shut down (not closed, so that its number cannot become another connection's under the waiting
    thread), a pause ends. The constructor raises CallCancelled when the call was cancelled before.
    """

    _lock = threading.Lock()  # one for all, there may be thousands: it is held for a system call at most

    def __init__(self, call: Call) -> None:
        self.call = call
        self._woken = threading.Event()
        self._held: socket.socket | None = None
        self._ends = math.inf
        self._alarm = Alarm(self.remaining, self._shutdown) if cooperative() else None
        call.on_cancel(self._cancelled)

    def close(self) -> None:
        """The call is over: a cancel reaches nothing of it any more."""
        self.release()
        alarm, self._alarm = self._alarm, None  # it knows us: together we would wait for the collector
        if alarm is not None:
            alarm.stop()
        self.call.on_cancel(None)

    def limit(self, seconds: float) -> None:
        """From now on wait no longer than this, whatever the call's own deadlines say."""
        self._ends = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds until the next deadline; zero or less: it has passed."""
        return min(self.call.remaining(), self._ends - time.monotonic())

    def watched(self) -> bool:
        """Have the deadline end a wait for the held socket, as a cancel does. False: the wait needs a bound of its own."""
        if self._alarm is None:
            return False
        self._alarm.set(min(self.call.ends, self._ends))
        return True

    def hold(self, sock: socket.socket) -> None:
        """This socket is the one to wake. Raises CallCancelled when it is too late for that."""
        with self._lock:
            self._held = sock
        self.call.check()

    def release(self) -> None:
        """No socket is held. One that goes back to a pool must be let go of before."""
        with self._lock:
            self._held = None

    def pause(self, seconds: float) -> None:
        """Wait this long, or until `wake`. Raises CallCancelled as soon as the call is cancelled."""
        self._woken.wait(max(seconds, 0.0))
        self._woken.clear()
        self.call.check()

    def wake(self) -> None:
        """End a pause, from any thread."""
        self._woken.set()

    def check(self, *, timed_out: bool) -> None:
        """After a blocking step: raises CallCancelled, or UpstreamTimeout when it ended for lack of time."""
        self.call.check()
        if timed_out:
            raise UpstreamTimeout("deadline passed")

    def expire(self) -> None:
        """End the wait for the held socket, from any thread: a deadline has passed."""
        with self._lock:
            self._shutdown()

    def _cancelled(self) -> None:
        self.expire()
        self.wake()

    def _shutdown(self) -> None:
        if self._held is not None:
            with contextlib.suppress(OSError):
                # Unbound: SSLSocket.shutdown drops the TLS layer first, and a write under way would go out in
                # clear.
                socket.socket.shutdown(self._held, socket.SHUT_RDWR)
