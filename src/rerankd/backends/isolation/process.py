"""The parent's end of one scorer's process: to start it, speak to it, look at it and end it."""

import contextlib
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any, Literal

from rerankd.backends.isolation import frames
from rerankd.backends.isolation.channel import Channel
from rerankd.backends.isolation.frames import Frame, Kind, pack, receive, send
from rerankd.errors import BackendError

__all__ = ["ScorerProcess"]

_BEGIN = (
    "import sys; sys.path[:] = sys.argv.pop().split(chr(10));"
    " from rerankd.backends.isolation.child import main; main()"
)
"""Not `-m`: that finds what is installed, and the parent may have been told where else to look."""

_CHANNELS = 64


class ScorerProcess:
    """A fresh interpreter, never a fork: threads and locks of the parent do not survive one."""

    def __init__(self, start: Mapping[str, Any], *, nice: int) -> None:
        """Start it. To be called on a thread that lives as long: the kernel ends the process with the thread.

        `start`: what the child is told to load. Raises `BackendError` when the system has no process for us.
        """
        self._control, theirs = socket.socketpair()
        self._sending = threading.Lock()
        self._lock = threading.Lock()
        self._free: list[Channel] = []
        self._channels: list[Channel] = []
        self._ended = False
        number = theirs.fileno()
        command = [sys.executable, "-P", "-c", _BEGIN, str(number), str(os.getpid()), str(nice)]
        try:
            self._popen = subprocess.Popen(
                [*command, "\n".join(sys.path)],
                pass_fds=(number,),
                stdin=subprocess.DEVNULL,
                # what a library prints when it panics may quote a text
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # its own group, for a terminal's Ctrl-C; not its own session, which would be weighed by itself
                process_group=0,
            )
            send(self._control, Kind.START, payload=frames.pack_json(start))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            self._control.close()
            raise BackendError(f"the scorer's process cannot be started: {error}") from error
        finally:
            theirs.close()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_status(self) -> int | None:
        """As `subprocess` gives it: minus the signal; None while it lives, or could not be reaped."""
        return self._popen.returncode

    # -- for the workers --------------------------------------------------------------------------------

    def take(self) -> Channel:
        """A channel that nobody else uses; give it back."""
        with self._lock:
            if self._ended:
                raise BackendError("the scorer's process has ended")
            if self._free:
                return self._free.pop()
            if len(self._channels) >= _CHANNELS:
                raise BackendError("the scorer's process has no channel left")
            ours, theirs = socket.socketpair()
            channel = Channel(len(self._channels), ours)
            self._channels.append(channel)
            try:
                with theirs, self._sending:
                    socket.send_fds(
                        self._control, [pack(Kind.OPEN, channel=channel.number)], [theirs.fileno()]
                    )
            except OSError as error:
                ours.close()
                raise BackendError("the scorer's process has ended") from error
            return channel

    def give_back(self, channel: Channel) -> None:
        with self._lock:
            if self._ended:
                channel.sock.close()
            else:
                self._free.append(channel)

    def stop(self, channel: Channel, run: int) -> None:
        """Tell it that nobody waits for a run. Never blocks: a process that does not listen will be killed."""
        frame = pack(Kind.STOP, channel=channel.number, run=run)
        with contextlib.suppress(OSError), self._sending:
            self._control.send(frame, getattr(socket, "MSG_DONTWAIT", 0))

    def busy(self) -> list[Channel]:
        """The channels on which an answer is awaited."""
        with self._lock:
            return [channel for channel in self._channels if channel.run is not None]

    # -- for the supervisor -----------------------------------------------------------------------------

    def hear(self, seconds: float) -> Frame | Literal["silence", "end"]:
        """The next thing it says on the control socket, within so many seconds."""
        try:
            poll = select.poll()  # select.select knows no descriptor beyond 1,023
            poll.register(self._control, select.POLLIN)
            if not poll.poll(seconds * 1000):
                return "silence"
            return receive(self._control) or "end"
        except (OSError, ValueError, BackendError):
            return "end"

    def stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP): it lives, and does nothing."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: found when a run hangs
            return False
        try:
            found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        except OSError:  # it is gone, which the control socket tells
            return False
        return found is not None and found.si_code in (os.CLD_STOPPED, os.CLD_TRAPPED)

    def end(self, seconds: float = 0.0) -> None:
        """End it, gently if that is done within so many seconds, and leave no zombie behind."""
        self._shut()
        with contextlib.suppress(subprocess.TimeoutExpired):
            if seconds:
                self._popen.wait(seconds)
        if self._popen.poll() is None:
            self._popen.kill()
            # one that the kernel cannot end at once (it waits for a disk) is reaped with the next process made
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(1.0)

    def kill(self) -> None:
        """End it now; whoever waits on a channel hears of it at once. `end` must follow."""
        self._popen.kill()

    def abandon(self) -> None:
        """In a forked child of the parent: let go of what belongs to the parent, and touch nothing else."""
        self._control.close()
        for channel in self._channels:
            channel.sock.close()
        self._popen.returncode = 0  # not ours to wait for

    def _shut(self) -> None:
        """Let go of all sockets: its end, and that of everybody's waiting."""
        with self._lock:
            self._ended = True
            for sock in (self._control, *(channel.sock for channel in self._channels)):
                # also wakes a thread that waits on it in this process, which closing alone does not
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for channel in self._free:
                channel.sock.close()
            self._free.clear()
        with self._sending:
            self._control.close()
