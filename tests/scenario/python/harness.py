"""What the checks share: the report, the users of a run, and expectations that explain themselves."""

import asyncio
import ipaddress
import socket
import string
import uuid

from connection import Connection, ConnectionEnded
from session import Account, Client
from wire import WAIT_AND_RETRY, Code, messages


class CheckFailed(Exception):
    pass


def expect(condition, explanation):
    if not condition:
        raise CheckFailed(explanation)


def expect_equal(actual, wanted, what):
    expect(actual == wanted, f"{what}: {_short(actual)} instead of {_short(wanted)}")


def expect_code(response, code, what="the answer"):
    message = f" ({response.body.message})" if response.code != Code.OK else ""
    expect(response.code == code, f"{what}: {response.code.name}{message} instead of {code.name}")
    return response.body


def _short(value):
    text = str(value).replace("\n", " ")
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"


async def expect_closed(connection, how="closed"):
    await connection.wait_closed()
    expect(not connection.failure, connection.failure)
    expect_equal(connection.end, how, "the end of the connection")


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def case(self, name):
        """`with report.case("..."):` makes one line; what fails inside does not stop the others."""
        return _Case(self, name)

    def add(self, name, error=None):
        if error is None:
            self.passed += 1
            print(f"ok    {name}", flush=True)
        else:
            self.failed += 1
            text = str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"
            print(f"FAIL  {name}\n      {text}", flush=True)


class _Case:
    def __init__(self, report, name):
        self.report, self.name = report, name

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is None or isinstance(error, Exception):
            self.report.add(self.name, error)
            return True
        return False


class Env:
    """One run against one server. It owns all connections that it makes."""

    PASSWORD = "correct horse"

    def __init__(self, host, port, random, report):
        self.host, self.port, self.random, self.report = host, port, random, report
        self.tag = None
        self.case = report.case
        self.was_register_limited = False
        self.is_loopback = all(ipaddress.ip_address(info[4][0].split("%")[0]).is_loopback
                               for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        self._users = 0
        self._owned = []

    # ------------------------------------------------------------ connections

    async def connect(self, **options):
        connection = await Connection.open(self.host, self.port, **options)
        self._owned.append(connection)
        return connection

    async def client(self, account, **device):
        """A device of this account, logged in and synced."""
        client = self.new_client(account, **device)
        return await client.login()

    def new_client(self, account, **device):
        client = Client(self.host, self.port, account, **device)
        self._owned.append(client)
        return client

    async def session(self, account, **device):
        """A bare connection that is logged in, for checks that look at single frames."""
        return (await self.client(account, **device)).connection

    async def close(self):
        await asyncio.gather(*(owned.close() for owned in self._owned))

    async def answer_once(self, command, /, **fields):
        """One request on a connection of its own; when the server asks to wait, the same again."""
        while True:
            connection = await self.connect()
            try:
                response = await connection.answer(command, **fields)
            finally:
                await connection.close()
            if response.code not in WAIT_AND_RETRY:
                return response
            self.was_register_limited |= command == "REGISTER" and response.code == Code.RATE_LIMITED
            expect(response.body.retry_after_ms > 0, f"{response.code.name} without retry_after_ms")
            await asyncio.sleep(response.body.retry_after_ms / 1000)

    # ------------------------------------------------------------ users

    async def choose_tag(self):
        """Names of a run begin with its tag. It comes from the seed; a repeated seed takes the next one."""
        while True:
            self.tag = "py" + "".join(self.random.choices(string.ascii_lowercase + string.digits, k=10))
            response = await self.answer_once("REGISTER", **self.registration(self.tag))
            if response.code != Code.CONFLICT:
                expect_code(response, Code.OK, "REGISTER of the first user")
                return

    def new_name(self):
        self._users += 1
        return f"{self.tag}.{self._users:04}"

    def registration(self, username=None, **fields):
        return dict(dict(username=username or self.new_name(), password=self.PASSWORD,
                         request_id=uuid.uuid4().bytes), **fields)

    def account_of(self, registration, response):
        body = expect_code(response, Code.OK, "REGISTER")
        return Account(body.user_id, registration["username"], registration["password"])

    async def user(self, **fields):
        registration = self.registration(**fields)
        return self.account_of(registration, await self.answer_once("REGISTER", **registration))

    async def users(self, count):
        return await asyncio.gather(*(self.user() for _ in range(count)))

    async def crowd(self, count):
        """Many users, registered over a few connections."""
        registrations = [self.registration() for _ in range(count)]
        size = 10
        parts = [registrations[start:start + size] for start in range(0, count, size)]
        lanes = [parts[lane::8] for lane in range(8)]
        results = await asyncio.gather(*(self._register_parts(lane) for lane in lanes))
        return sorted((account for lane in results for account in lane), key=lambda account: account.user_id)

    async def _register_parts(self, parts):
        return [account for part in parts for account in await self._register_all(part)]

    async def _register_all(self, registrations):
        # A connection lives for 5 s without a login; what it leaves unanswered is repeated with its id.
        connection = await self.connect()
        futures = [connection.send("REGISTER", **registration) for registration in registrations]
        responses = await asyncio.gather(*futures, return_exceptions=True)
        await connection.close()
        accounts = []
        for registration, response in zip(registrations, responses):
            if isinstance(response, ConnectionEnded) or response.code in WAIT_AND_RETRY:
                response = await self.answer_once("REGISTER", **registration)
            accounts.append(self.account_of(registration, response))
        return accounts

    def no_user_id(self):
        """An id that no user and no group has: ids are given out from below."""
        return (1 << 62) + self.random.getrandbits(60)

    def login_fields(self, account, **fields):
        return dict(dict(username=account.username, password=account.password, device_id=uuid.uuid4().hex,
                         device_class=messages.DESKTOP), **fields)


def message_fields(receiver_id=None, **fields):
    """The fields of a good MSG_SEND, with some replaced or, by None, left out."""
    return dict(dict(receiver_id=receiver_id, client_msg_id=uuid.uuid4().bytes, type=messages.TEXT,
                     content=b"hello"), **fields)


async def sync_all(session, limit=0):
    """The whole mailbox from zero, page by page; checks the pages on the way."""
    entries, more, pages = [], True, 0
    while more:
        page = await session.request("MSG_SYNC", after_seq=len(entries), limit=limit)
        seqs = [entry.seq for entry in page.entries]
        expect_equal(seqs, list(range(len(entries) + 1, len(entries) + 1 + len(seqs))), "the seqs of a page")
        entries.extend(page.entries)
        expect_equal(page.more, page.head > len(entries), f"more of the page that ends at {len(entries)}")
        expect(seqs or not page.more, "an empty page says more")
        more, pages = page.more, pages + 1
    return entries, pages
