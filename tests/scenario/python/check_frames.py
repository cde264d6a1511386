"""Frames: what is one, what is none, pipelining, and what waits for what."""

import asyncio
import time
import uuid

from connection import ANSWER_TIMEOUT, ConnectionEnded
from harness import expect, expect_closed, expect_code, expect_equal, message_fields
from wire import (BODY_MAX, BODY_MAX_BEFORE_LOGIN, COMMANDS, CONTENT_MAX, Code, messages, pack_frame,
                  pack_header)

HEARTBEAT = COMMANDS["HEARTBEAT"]
BEFORE_LOGIN = ("LOGIN", "REGISTER", "HEARTBEAT")
# Not requests: numbers that mean nothing, and numbers of responses and notifications.
NO_COMMANDS = (0x0000, 0x1000, 0x7777, 0xFFFE, 0x1002, 0x2002, 0x1005, 0x100C, 0x2003)
UNDECODABLE = {"a cut varint": b"\xff", "a wrong wire type": b"\x0f\x00", "field 0": b"\x00\x00",
               "a length beyond the end": b"\x0a\x7f"}


def request_frame(command, seq, **fields):
    message = getattr(messages, COMMANDS[command].request_message)(**fields)
    return pack_frame(COMMANDS[command].request_id, seq, message.SerializeToString())


async def frames(env):
    account = await env.user()
    states = {"before login": lambda: env.connect(), "after login": lambda: env.session(account)}
    for state, open_connection in states.items():
        await _wrong_magic(env, state, open_connection)
        await _bad_frames(env, state, open_connection)
        await _unsupported(env, state, open_connection)
    await _body_limits(env, account)
    await _not_logged_in(env)
    await _undecodable(env, account)


async def _wrong_magic(env, state, open_connection):
    garbage = {"a header with another magic": pack_header(HEARTBEAT.request_id, 1, 0, magic=0x494E),
               "text": b"GET / HTTP/1.1\r\n\r\n"}
    for what, data in garbage.items():
        with env.case(f"another magic, {state}, {what}: closes at once without an answer"):
            connection = await open_connection()
            connection.send_raw(data)
            await connection.wait_closed()
            expect_equal(connection.stray_responses, [], "the answers")


async def _bad_frames(env, state, open_connection):
    limit = BODY_MAX if state == "after login" else BODY_MAX_BEFORE_LOGIN
    variants = {
        "version 0": pack_frame(HEARTBEAT.request_id, 77, version=0),
        "version 2": pack_frame(HEARTBEAT.request_id, 77, version=2),
        "flags 1": pack_frame(HEARTBEAT.request_id, 77, flags=1),
        "flags 0x80": pack_frame(HEARTBEAT.request_id, 77, flags=0x80),
        "a code that is not 0": pack_frame(HEARTBEAT.request_id, 77, code=1),
        f"len {limit + 1}, header only": pack_header(HEARTBEAT.request_id, 77, limit + 1),
        f"len {limit + 1}, with the body": pack_frame(HEARTBEAT.request_id, 77, bytes(limit + 1)),
        "the greatest len": pack_header(HEARTBEAT.request_id, 77, 0xFFFFFFFF),
    }
    for what, data in variants.items():
        with env.case(f"BAD_FRAME, {state}: {what}; then the connection closes"):
            connection = await open_connection()
            answer = connection.expect(HEARTBEAT.response_id, 77)
            connection.send_raw(data)
            expect_code(await asyncio.wait_for(answer, ANSWER_TIMEOUT), Code.BAD_FRAME)
            await connection.wait_closed()
            expect_equal(connection.stray_responses, [], "further answers")


async def _unsupported(env, state, open_connection):
    for cmd in NO_COMMANDS:
        with env.case(f"UNSUPPORTED, {state}: cmd {cmd:#06x}; the connection stays"):
            connection = await open_connection()
            answer = connection.expect(cmd + 1, 88)
            connection.send_raw(pack_frame(cmd, 88, b"any body"))
            expect_code(await asyncio.wait_for(answer, ANSWER_TIMEOUT), Code.UNSUPPORTED)
            await connection.request("HEARTBEAT")


async def _body_limits(env, account):
    with env.case("a body of 4 KiB before login is a frame"):
        connection = await env.connect()
        answer = await connection.send_body("MSG_SYNC", bytes(BODY_MAX_BEFORE_LOGIN))
        expect_code(answer, Code.NOT_LOGGED_IN)
        await connection.request("HEARTBEAT")
    with env.case("a body of 1 MiB after login is a frame"):
        connection = await env.session(account)
        padding = BODY_MAX - len(_send_of(account, CONTENT_MAX))
        body = _send_of(account, CONTENT_MAX + padding)
        expect_equal(len(body), BODY_MAX, "the body")
        expect_code(await connection.send_body("MSG_SEND", body), Code.TOO_LARGE)
        await connection.request("HEARTBEAT")


def _send_of(account, size):
    fields = message_fields(account.user_id, type=messages.FILE, content=bytes(size))
    return messages.MsgSendReq(**fields).SerializeToString()


async def _not_logged_in(env):
    for name in COMMANDS:
        if name in BEFORE_LOGIN:
            continue
        with env.case(f"NOT_LOGGED_IN: {name} before login; the connection stays"):
            connection = await env.connect()
            expect_code(await connection.answer(name), Code.NOT_LOGGED_IN)
            await connection.request("HEARTBEAT")


async def _undecodable(env, account):
    connection = await env.session(account)
    for name in COMMANDS:
        with env.case(f"BAD_REQUEST: {name} with a body that does not decode; the connection stays"):
            target = await env.connect() if name in BEFORE_LOGIN else connection
            for what, body in UNDECODABLE.items():
                expect_code(await target.send_body(name, body), Code.BAD_REQUEST, what)
            await target.request("HEARTBEAT")
    with env.case("BAD_REQUEST: a string field that is not UTF-8"):
        expect_code(await connection.send_body("USER_FIND", b"\x0a\x02\xc3\x28"), Code.BAD_REQUEST)


# ---------------------------------------------------------------- order and waiting

async def pipelining(env):
    alice, bob, carol = await env.users(3)
    session = await env.session(alice)
    with env.case("pipelining: 257 requests at once are all answered"):
        futures = [session.send("USER_GET", user_ids=[bob.user_id]) for _ in range(257)]
        for response in await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT):
            expect_equal([user.user_id for user in expect_code(response, Code.OK).users], [bob.user_id], "users")
    with env.case("pipelining: 257 requests of all kinds are all answered"):
        await _mixed_requests(session, bob)
    with env.case("pipelined sends to two conversations are committed in the order of sending, in each"):
        await _ordered_sends(session, bob, carol)
    with env.case("MSG_SYNC and HISTORY of one connection are answered one after the other"):
        names = [("MSG_SYNC", {}) if number % 3 else ("HISTORY", dict(receiver_id=bob.user_id))
                 for number in range(60)]
        responses = await asyncio.gather(*(session.send(name, **fields) for name, fields in names))
        orders = [expect_code(response, Code.OK) and response.order for response in responses]
        expect_equal(orders, sorted(orders), "the order of arrival")


async def _mixed_requests(session, bob):
    kinds = [("USER_GET", dict(user_ids=[bob.user_id])), ("HEARTBEAT", {}), ("MSG_SYNC", dict(limit=1)),
             ("HISTORY", dict(receiver_id=bob.user_id, limit=1)), ("GROUP_LIST", {}), ("REFRESH_TOKEN", {})]
    futures = []
    for number in range(257):
        name, fields = kinds[number % len(kinds)] if number % 7 else ("MSG_SEND", message_fields(bob.user_id))
        futures.append(session.send(name, **fields))
    for response in await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT):
        expect_code(response, Code.OK, f"cmd {response.cmd:#06x}")


async def _ordered_sends(session, bob, carol):
    receivers = [(bob, carol)[number % 2] for number in range(300)]
    futures = [session.send("MSG_SEND", **message_fields(receiver.user_id, content=str(number).encode()))
               for number, receiver in enumerate(receivers)]
    responses = await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT)
    for peer in (bob, carol):
        places = [expect_code(response, Code.OK).conv_seq
                  for response, receiver in zip(responses, receivers) if receiver is peer]
        expect_equal(places, list(range(places[0], places[0] + len(places))), "the conv_seqs in sending order")


async def waiting_frames(env):
    alice, bob = await env.users(2)
    login = env.login_fields(alice)
    with env.case("frames behind a LOGIN wait for its answer"):
        connection = await env.connect()
        futures = [connection.send("LOGIN", **login), connection.send("MSG_SYNC"),
                   connection.send("MSG_SEND", **message_fields(bob.user_id)), connection.send("HEARTBEAT")]
        await _all_ok_first_first(futures)
    with env.case("a frame of more than 4 KiB behind an unanswered LOGIN is BAD_FRAME, one after its answer is none"):
        connection = await env.connect()
        connection.send("LOGIN", **login)
        large = message_fields(bob.user_id, content=b"x" * 20000)
        expect_code(await connection.send("MSG_SEND", **large), Code.BAD_FRAME)
        connection = await env.connect()
        expect_code(await connection.send("LOGIN", **login), Code.OK)
        expect_code(await connection.send("MSG_SEND", **large), Code.OK)
    with env.case("frames behind a LOGIN that fails are NOT_LOGGED_IN, the connection stays"):
        connection = await env.connect()
        futures = [connection.send("LOGIN", **dict(login, password="wrong password")), connection.send("MSG_SYNC")]
        failed, behind = await asyncio.gather(*futures)
        expect(failed.code in (Code.BAD_CREDENTIALS, Code.RATE_LIMITED), f"LOGIN: {failed.code.name}")
        expect_code(behind, Code.NOT_LOGGED_IN)
        expect_code(await connection.answer("HEARTBEAT"), Code.OK)
    with env.case("a LOGIN behind a REGISTER of the same user waits"):
        registration = env.registration()
        connection = await env.connect()
        fields = env.login_fields(alice, username=registration["username"])
        await _all_ok_first_first([connection.send("REGISTER", **registration), connection.send("LOGIN", **fields)])
    await _behind_logout(env, alice, bob)


async def _all_ok_first_first(futures):
    responses = await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT)
    for response in responses:
        expect_code(response, Code.OK, f"cmd {response.cmd:#06x}")
    expect_equal(min(responses, key=lambda response: response.order).cmd, responses[0].cmd, "answered first")


async def _behind_logout(env, alice, bob):
    session, reader = await env.session(alice), await env.session(bob)
    ghost = message_fields(bob.user_id, content=b"behind the LOGOUT")
    with env.case("LOGOUT is answered when all requests before it are; then the connection closes"):
        before = [session.send("MSG_SEND", **message_fields(bob.user_id)) for _ in range(20)]
        logout = session.send("LOGOUT")
        behind = [session.send("MSG_SEND", **ghost), session.send("HEARTBEAT"), session.send("REFRESH_TOKEN")]
        responses = await asyncio.wait_for(asyncio.gather(*before, logout), ANSWER_TIMEOUT)
        for response in responses:
            expect_code(response, Code.OK, f"cmd {response.cmd:#06x}")
        expect_equal(max(response.order for response in responses), responses[-1].order, "the LOGOUT's place")
        await expect_closed(session)
    with env.case("frames behind a LOGOUT wait for its answer: there is no answer to them"):
        answers = await asyncio.gather(*behind, return_exceptions=True)
        answered = [hex(answer.cmd) for answer in answers if not isinstance(answer, ConnectionEnded)]
        expect_equal(answered, [], "the answers")
    with env.case("a MSG_SEND behind a LOGOUT is not done"):
        history = await reader.request("HISTORY", receiver_id=alice.user_id)
        ids = [entry.client_msg_id for entry in history.entries]
        expect(ghost["client_msg_id"] not in ids, "it is in HISTORY, and was not answered")


async def half_close(env):
    alice, bob = await env.users(2)
    with env.case("who closes the sending side still gets all answers, then the connection ends"):
        session = await env.session(alice)
        futures = [session.send("MSG_SEND", **message_fields(bob.user_id)) for _ in range(50)]
        futures += [session.send("MSG_SYNC"), session.send("USER_GET", user_ids=[bob.user_id])]
        session.half_close()
        for response in await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT):
            expect_code(response, Code.OK, f"cmd {response.cmd:#06x}")
        await expect_closed(session)
    with env.case("half-closed right after LOGIN and one request: both are answered"):
        connection = await env.connect()
        futures = [connection.send("LOGIN", **env.login_fields(alice)), connection.send("MSG_SYNC")]
        connection.half_close()
        await _all_ok_first_first(futures)
        await expect_closed(connection)


# ---------------------------------------------------------------- time limits

async def time_limits(env):
    """Runs beside the other checks, since it mostly waits."""
    account = await env.user()
    part = pack_header(HEARTBEAT.request_id, 1, 100) + b"part of the body"
    await asyncio.gather(
        _closes_after(env, "silent after connecting: closes after 5 s", env.connect, b"", 5),
        _closes_after(env, "part of a frame before login: closes after 5 s", env.connect, part[:3], 5),
        _closes_after(env, "only heartbeats and failed logins: closes after 5 s", env.connect, _chatter(), 5),
        _closes_after(env, "part of a header: closes after 15 s", lambda: env.session(account), part[:7], 15),
        _closes_after(env, "part of a body: closes after 15 s",
                      lambda: env.session(account, device_class=messages.WEB), part, 15),
        _reads_nothing(env),
    )


def _chatter():
    return request_frame("HEARTBEAT", 1) + request_frame("LOGIN", 2, device_id=uuid.uuid4().hex)


async def _closes_after(env, name, open_connection, data, seconds):
    with env.case(name):
        connection = await open_connection()
        begin = time.monotonic()
        connection.send_raw(data)
        await connection.wait_closed()
        # The server's clock starts with the connection or the first byte, a little before ours or after it.
        lasted = time.monotonic() - begin
        expect(seconds - 1 < lasted < seconds + 5, f"closed after {lasted:.1f} s")


async def _reads_nothing(env):
    sender, reader = await env.client(await env.user()), env.new_client(await env.user())
    for _ in range(4):
        await sender.send_ok(bytes(CONTENT_MAX), receiver_id=reader.account.user_id, type=messages.FILE)
    with env.case("answers that are not read for 30 s: closes"):
        await reader.login(receive_buffer=4096)
        connection = reader.connection
        begin = time.monotonic()
        connection.writer.transport.pause_reading()
        for number in range(40):  # more than the buffers of both systems hold
            connection.send("MSG_SYNC", after_seq=number % 4)
        # Who does not read learns of the end by writing.
        while not connection.closed.is_set() and time.monotonic() - begin < 60:
            connection.send("HEARTBEAT")
            await asyncio.sleep(0.5)
        lasted = time.monotonic() - begin
        expect(29 < lasted < 45, f"closed after {lasted:.1f} s")
