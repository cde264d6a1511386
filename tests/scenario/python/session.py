"""A client of one device: logs in, keeps its mailbox, and sends until it has a definite answer."""

import asyncio
import uuid
from typing import NamedTuple

from connection import Connection, ConnectionEnded, RequestFailed, wait
from mailbox import Mailbox
from wire import INDEFINITE, WAIT_AND_RETRY, Code, messages

RESEND_DELAY = 0.2


class Account(NamedTuple):
    user_id: int
    username: str
    password: str


class Pending:
    """A message that has no definite answer yet."""

    def __init__(self, fields):
        self.fields = fields
        self.in_flight = False
        self.result = asyncio.get_running_loop().create_future()

    @property
    def conversation(self):
        return self.fields.get("receiver_id", 0), self.fields.get("group_id", 0)


class Client:
    def __init__(self, host, port, account, device_id=None, device_class=None, device_name=""):
        self.host, self.port, self.account = host, port, account
        self.device_id = device_id or uuid.uuid4().hex
        self.device_class = device_class or messages.DESKTOP
        self.device_name = device_name
        self.token = None
        self.login_response = None
        self.store_epoch = None
        self.kick = None  # the KickNotify, once it came
        self.goaway = None
        self.pushed = []  # every entry that came by push, in the order it came
        self.streamed = []  # (stream, entry) as pushed
        self.own_sends = {}  # seq -> entry, from MSG_SEND_RESP
        self.connection = None
        self.mailbox = Mailbox(self._fetch_page)
        self._outbox = {}  # client_msg_id -> Pending, in the order of sending

    # ------------------------------------------------------------ session

    async def connect(self, **options):
        self.connection = await Connection.open(self.host, self.port, **options)
        self.connection.on_notification = self._on_notification

    async def login(self, **options):
        """Connects, logs in, syncs to the head, and sends again what has no definite answer."""
        if self.connection is None or self.connection.closed.is_set():
            await self.connect(**options)
        response = await self._login_response()
        if response.code != Code.OK:
            raise RequestFailed("LOGIN", response)
        self._logged_in(response.body)
        await self.mailbox.start_sync()
        if self.mailbox.failure:
            raise AssertionError(self.mailbox.failure)
        self._resend_all()
        return self

    async def _login_response(self):
        if self.token:
            response = await self._try_login(token=self.token)
            if response.code not in (Code.BAD_CREDENTIALS, Code.TOKEN_EXPIRED):
                return response
            self.token = None
        return await self._try_login(username=self.account.username, password=self.account.password)

    async def _try_login(self, **credentials):
        while True:
            response = await self.connection.answer(
                "LOGIN", device_id=self.device_id, device_class=self.device_class,
                device_name=self.device_name, **credentials)
            if response.code not in WAIT_AND_RETRY:
                return response
            await asyncio.sleep(response.body.retry_after_ms / 1000)
            if self.connection.closed.is_set():  # there are only 5 s for a login
                await self.connect()

    def _logged_in(self, body):
        self.login_response = body
        self.token = body.token
        head = next(head.head for head in body.heads if head.stream == 0)
        is_other_store = self.store_epoch not in (None, body.store_epoch)
        self.store_epoch = body.store_epoch
        if is_other_store or head < self.mailbox.local:
            self.mailbox.start_at(head)
        self.mailbox.head = max(self.mailbox.head, head)

    async def reconnect(self):
        await self.close()
        self.connection = None
        return await self.login()

    async def close(self):
        if self.connection:
            await self.connection.close()

    def _on_notification(self, notification):
        body = notification.body
        if isinstance(body, messages.MsgPushNotify) and body.stream == 0:
            self.pushed.extend(body.entries)
            for entry in body.entries:
                self.mailbox.add(entry)
            self.mailbox.see_head(body.head)
        elif isinstance(body, messages.MsgPushNotify):
            self.streamed.extend((body.stream, entry) for entry in body.entries)
            self.mailbox.tell_waiters()
        elif isinstance(body, messages.KickNotify):
            self.kick = body
        elif isinstance(body, messages.GoawayNotify):
            self.goaway = body

    # ------------------------------------------------------------ requests

    async def answer(self, command, /, **fields):
        return await self.connection.answer(command, **fields)

    async def request(self, command, /, **fields):
        """The command's message; its own entry of the mailbox, if it has one, is synced (rule 5)."""
        body = await self.connection.request(command, **fields)
        if not command.startswith("MSG_") and getattr(body, "seq", 0):
            self.mailbox.see_head(body.seq)
        if command == "HEARTBEAT":
            self.mailbox.see_head(body.head_seq)
        return body

    async def _fetch_page(self, after_seq):
        try:
            response = await self.connection.answer("MSG_SYNC", after_seq=after_seq)
        except ConnectionEnded:
            return None
        if response.code == Code.RESYNC:
            heads = self.login_response.heads
            self.mailbox.start_at(next(head.head for head in heads if head.stream == 0))
            return None
        if response.code in INDEFINITE:
            await asyncio.sleep(RESEND_DELAY)
            return await self._fetch_page(after_seq)
        if response.code != Code.OK:
            raise RequestFailed("MSG_SYNC", response)
        return response.body

    # ------------------------------------------------------------ sending

    def send(self, content, **fields):
        """Sends a message, text unless `type` says otherwise; returns a future of its definite Response."""
        if isinstance(content, str):
            content = content.encode()
        fields.setdefault("type", messages.TEXT)
        fields.setdefault("client_msg_id", uuid.uuid4().bytes)
        pending = Pending(dict(fields, content=content))
        must_wait = any(other.conversation == pending.conversation and not other.in_flight
                        for other in self._outbox.values())
        self._outbox[fields["client_msg_id"]] = pending
        if not must_wait:  # else it follows the failed one, to keep the order
            self._transmit(pending)
        return pending.result

    async def send_ok(self, content, **fields):
        response = await wait(self.send(content, **fields), "MSG_SEND")
        if response.code != Code.OK:
            raise RequestFailed("MSG_SEND", response)
        return response.body

    def _transmit(self, pending):
        pending.in_flight = True
        future = self.connection.send("MSG_SEND", **pending.fields)
        future.add_done_callback(lambda future: self._sent(pending, future))

    def _sent(self, pending, future):
        if future.cancelled() or future.exception():
            pending.in_flight = False  # goes out again after the next login
            return
        response = future.result()
        if response.code in INDEFINITE + WAIT_AND_RETRY:
            pending.in_flight = False
            self._resend_soon(pending.conversation)
            return
        self._outbox.pop(pending.fields["client_msg_id"], None)
        if response.code == Code.OK and response.body.seq:
            entry = self._own_entry(pending.fields, response.body)
            self.own_sends[entry.seq] = entry
            self.mailbox.add(entry)
        if not pending.result.done():
            pending.result.set_result(response)

    def _resend_soon(self, conversation):
        """The failed one and all later ones, in their order, once none of them is on its way."""
        failed = [pending for pending in self._outbox.values() if pending.conversation == conversation]
        if not any(pending.in_flight for pending in failed):
            asyncio.get_running_loop().call_later(RESEND_DELAY, self._resend_all, conversation)

    def _resend_all(self, conversation=None):
        for pending in list(self._outbox.values()):
            if not pending.in_flight and conversation in (None, pending.conversation):
                self._transmit(pending)

    def _own_entry(self, fields, response):
        return messages.MessageData(
            sender_id=self.account.user_id, receiver_id=fields.get("receiver_id", 0),
            group_id=fields.get("group_id", 0), type=fields["type"], content=fields["content"],
            extra=fields.get("extra", b""), client_msg_id=fields["client_msg_id"],
            msg_id=response.msg_id, seq=response.seq, conv_seq=response.conv_seq,
            send_time_ms=response.send_time_ms)
