"""One connection: frames out, answers matched by seq, notifications queued in the order they came."""

import asyncio
import itertools
import socket
from typing import Any, NamedTuple

from wire import (COMMANDS, NOTIFICATIONS, RESPONSES, Code, ProtocolError, messages, pack_frame,
                  read_frame)

ANSWER_TIMEOUT = 30.0


class Response(NamedTuple):
    code: Code
    body: Any  # the command's response message, or Error
    cmd: int
    seq: int
    order: int  # counts everything that arrived on this connection


class Notification(NamedTuple):
    cmd: int
    body: Any
    order: int


class ConnectionEnded(Exception):
    """The connection ended before the answer: the request may have had its effect."""


class RequestFailed(Exception):
    def __init__(self, name, response):
        super().__init__(f"{name} was answered {response.code.name}: {response.body.message}")
        self.code = response.code
        self.response = response


class Connection:
    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.closed = asyncio.Event()
        self.notifications = asyncio.Queue()
        self.stray_responses = []  # answers to frames that were sent as raw bytes
        self.failure = None  # what the server did wrong, if it did
        self.end = None  # "closed", "reset" or "cut" (inside a frame), once it has ended
        self.on_notification = None
        self._waiting = {}
        self._seqs = itertools.count(1)
        self._order = itertools.count()
        self._receiver = asyncio.ensure_future(self._receive())

    @classmethod
    async def open(cls, host, port, receive_buffer=None):
        if receive_buffer is None:
            return cls(*await asyncio.open_connection(host, port))
        # A small buffer has to be asked for before connecting.
        loop = asyncio.get_running_loop()
        family, kind, proto, _, address = (await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))[0]
        sock = socket.socket(family, kind, proto)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        return cls(*await asyncio.open_connection(sock=sock, limit=1024))

    # ------------------------------------------------------------ sending

    def send(self, command, /, **fields):
        """Sends a request and returns a future of its Response. Does not wait: this is pipelining."""
        message = getattr(messages, COMMANDS[command].request_message)(**fields)
        return self.send_body(command, message.SerializeToString())

    def send_body(self, command, body):
        """Like `send`, with any bytes as the body."""
        ids = COMMANDS[command]
        seq = next(self._seqs)
        future = self.expect(ids.response_id, seq)
        self.send_raw(pack_frame(ids.request_id, seq, body))
        return future

    def send_raw(self, data):
        if self.closed.is_set():
            return  # who waits for an answer is told by its future
        self.writer.write(data)

    def expect(self, response_id, seq):
        """A future of the response with this cmd and seq, for frames built by hand."""
        future = asyncio.get_running_loop().create_future()
        if self.closed.is_set():
            future.set_exception(ConnectionEnded("the connection is closed"))
            return future
        self._waiting.setdefault((response_id, seq), []).append(future)
        return future

    async def answer(self, command, /, **fields):
        """Sends a request and waits for its Response, whatever its code."""
        return await wait(self.send(command, **fields), command)

    async def request(self, command, /, **fields):
        """Sends a request and waits for its message; any code but OK is a RequestFailed."""
        response = await self.answer(command, **fields)
        if response.code != Code.OK:
            raise RequestFailed(command, response)
        return response.body

    # ------------------------------------------------------------ receiving

    async def _receive(self):
        try:
            while True:
                frame = await read_frame(self.reader)
                if frame is None:
                    self.end = "closed"
                    break
                self._dispatch(frame)
        except ConnectionError:
            self.end = "reset"
        except asyncio.IncompleteReadError:
            self.end = "cut"
        except Exception as error:  # what does not decode is the server's fault
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._ended()

    def _dispatch(self, frame):
        order = next(self._order)
        if frame.cmd in NOTIFICATIONS and frame.seq == 0:
            self._notify(frame, order)
        elif frame.cmd not in RESPONSES and frame.seq == 0 and frame.code == 0:
            pass  # a notification of a later version: ignored
        else:
            self._respond(frame, order)

    def _notify(self, frame, order):
        if frame.code != 0:
            raise ProtocolError(f"a notification with code {frame.code}")
        body = getattr(messages, NOTIFICATIONS[frame.cmd]).FromString(frame.body)
        notification = Notification(frame.cmd, body, order)
        self.notifications.put_nowait(notification)
        if self.on_notification:
            self.on_notification(notification)

    def _respond(self, frame, order):
        code = Code(frame.code)
        if code != Code.OK:
            body = messages.Error.FromString(frame.body)
        elif frame.cmd in RESPONSES:
            body = getattr(messages, RESPONSES[frame.cmd].response_message).FromString(frame.body)
        else:
            raise ProtocolError(f"OK with the unknown cmd {frame.cmd:#06x}")
        response = Response(code, body, frame.cmd, frame.seq, order)
        futures = self._waiting.get((frame.cmd, frame.seq))
        if not futures:
            self.stray_responses.append(response)
            return
        future = futures.pop(0)
        if not futures:
            del self._waiting[(frame.cmd, frame.seq)]
        if not future.done():
            future.set_result(response)

    def _ended(self):
        self.closed.set()
        self.writer.close()
        reason = self.failure or "the connection ended before the answer"
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(ConnectionEnded(reason))
                    future.exception()  # nobody may be waiting for it: that is no error
        self._waiting.clear()
        self.notifications.put_nowait(None)

    # ------------------------------------------------------------ waiting and ending

    async def notification(self, timeout=ANSWER_TIMEOUT):
        """The next notification; None when the connection ended."""
        return await wait(self.notifications.get(), "a notification", timeout)

    async def wait_closed(self, timeout=ANSWER_TIMEOUT):
        await wait(self.closed.wait(), "the end of the connection", timeout)

    def half_close(self):
        self.writer.write_eof()

    async def close(self):
        self.writer.close()
        self._receiver.cancel()
        await asyncio.gather(self._receiver, return_exceptions=True)


async def wait(awaitable, what, timeout=ANSWER_TIMEOUT):
    try:
        return await asyncio.wait_for(awaitable, timeout)
    except asyncio.TimeoutError:
        raise TimeoutError(f"{what} did not come within {timeout:g} s") from None
