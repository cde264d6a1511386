"""LOGIN, tokens, the one session per user and device class, LOGOUT, HEARTBEAT."""

import asyncio
import itertools
import uuid

from connection import ANSWER_TIMEOUT
from harness import expect, expect_closed, expect_code, expect_equal
from wire import BODY_MAX, TEXT_MAX, Code, messages

CLASSES = ("PHONE", "TABLET", "DESKTOP", "WEB", "DEVICE")


async def logging_in(env):
    account = await env.user(nickname="Bo")
    with env.case("LOGIN by password: LOGIN_RESP says who one is, the heads, the limits"):
        client = await env.client(account)
        body = client.login_response
        expect_equal(_user(body), (account.user_id, account.username, "Bo"), "the user")
        expect_equal([head.head for head in body.heads if head.stream == 0], [0], "the mailbox's head")
        expect_equal(body.cursor, 0, "the cursor")
        limits = body.limits
        expect_equal((limits.body_bytes_max, limits.text_bytes_max, limits.pipelined_requests_max),
                     (BODY_MAX, TEXT_MAX, 256), "limits of bytes and requests")
        expect_equal((limits.sync_entries_max, limits.group_members_max), (500, 20_000), "limits of entries and members")
        expect(body.session_id and body.token and body.heartbeat_interval_ms, f"something is missing: {body}")
        expect(body.token_expires_ms > body.server_time_ms > 0, "the token is over already")
    with env.case("LOGIN by token; the store_epoch stays, the session_id does not, the token comes anew"):
        again = await client.reconnect()
        second = again.login_response
        expect_equal(_user(second), _user(body), "the user")
        expect_equal(second.store_epoch, body.store_epoch, "the store_epoch")
        expect(second.session_id != body.session_id, "the session_id is the one of the session before")
        expect(second.token, "no token")
    with env.case("LOGIN with the username in upper case"):
        await env.client(account._replace(username=account.username.upper()))
    with env.case("FORBIDDEN: LOGIN and REGISTER on a connection that is logged in; it stays"):
        session = (await env.client(account)).connection
        expect_code(await session.answer("LOGIN", **env.login_fields(account)), Code.FORBIDDEN, "LOGIN")
        expect_code(await session.answer("REGISTER", **env.registration()), Code.FORBIDDEN, "REGISTER")
        await session.request("MSG_SYNC")
    with env.case("at the limits LOGIN is OK: device_id 64 bytes, device_name 128"):
        await env.client(account, device_id="é" * 32, device_name="ñ" * 64)


def _user(body):
    return body.user_id, body.username, body.nickname


async def login_errors(env):
    account = await env.user()
    token = (await env.client(account, device_id="one")).token
    bad_credentials = {
        "an unknown user": dict(username=account.username + "nobody"),
        "a username that cannot exist": dict(username="-no name-"),
        "a username of 65 bytes": dict(username="a" * 65),
        "a wrong password": dict(password="wrong password"),
        "a token that is none": _by_token("no token"),
        "a token of 2,048 bytes": _by_token("t" * 2048),
        "a damaged token": _by_token(token[:-2] + ("AA" if token[-2:] != "AA" else "BB")),
        "another device's token": dict(_by_token(token), device_id="two"),
        "another class's token": dict(_by_token(token), device_class=messages.WEB),
    }
    bad_request = {
        "neither token nor password": dict(username=None, password=None),
        "a username without password": dict(password=None),
        "a password without username": dict(username=None),
        "a token and a username with password": dict(token=token),
        "no device_id": dict(device_id=None),
        "a device_id of 65 bytes": dict(device_id="d" * 65),
        "a control character in device_id": dict(device_id="one\n"),
        "no device_class": dict(device_class=None),
        "an unknown device_class": dict(device_class=77),
        "a control character in device_name": dict(device_name="a\x7fb"),
        "only spaces as device_name": dict(device_name="  "),
    }
    too_large = {
        "a password of 513 bytes": dict(password="p" * 513),
        "a token of 2,049 bytes": _by_token("t" * 2049),
        "a device_name of 129 bytes": dict(device_name="n" * 129),
    }
    good = env.login_fields(account, device_id="one")
    cases = {Code.BAD_CREDENTIALS: bad_credentials, Code.BAD_REQUEST: bad_request, Code.TOO_LARGE: too_large}
    for code, variants in cases.items():
        for what, fields in variants.items():
            with env.case(f"{code.name}: LOGIN with {what}"):
                # A field that is None is left out: that is what protobuf makes of it.
                expect_code(await env.answer_once("LOGIN", **dict(good, **fields)), code)


def _by_token(token):
    return dict(username=None, password=None, token=token)


async def _token_login(env, client, token):
    return await env.answer_once("LOGIN", token=token, device_id=client.device_id, device_class=client.device_class)


async def tokens(env):
    account = await env.user()
    client = await env.client(account)
    with env.case("REFRESH_TOKEN gives a good token; the old one stays good"):
        old = client.token
        refreshed = await client.request("REFRESH_TOKEN")
        expect(refreshed.token_expires_ms >= client.login_response.token_expires_ms, "the new one ends before it")
        for token in (old, refreshed.token, old):
            expect_code(await _token_login(env, client, token), Code.OK)
    with env.case("closing without LOGOUT leaves the token good"):
        await client.reconnect()
        token = client.token
        await client.close()
        expect_code(await _token_login(env, client, token), Code.OK)


async def one_session_per_class(env):
    account = await env.user()
    sessions = {name: await env.client(account, device_class=getattr(messages, name)) for name in CLASSES}
    with env.case("a session of each device class at the same time"):
        for client in sessions.values():
            await client.request("HEARTBEAT")
    with env.case("a second LOGIN of a class kicks the first: KICK_NOTIFY, REPLACED, its connection closes"):
        await env.client(account, device_class=messages.PHONE, device_name="The new phone ☎")
        await expect_closed(sessions["PHONE"].connection)
        kick = sessions["PHONE"].kick
        expect(kick is not None, "there was no KICK_NOTIFY")
        expect_equal((kick.reason, kick.device_name), (messages.REPLACED, "The new phone ☎"), "the KICK_NOTIFY")
    with env.case("the sessions of the other classes stay"):
        for name in CLASSES[1:]:
            await sessions[name].request("HEARTBEAT")
            expect(sessions[name].kick is None, f"{name} was kicked")
    with env.case("the same device logging in again replaces its own session"):
        web = sessions["WEB"]
        twin = env.new_client(account, device_id=web.device_id, device_class=messages.WEB)
        await twin.login()
        await expect_closed(web.connection)
        expect_equal(web.kick and web.kick.reason, messages.REPLACED, "the reason")
        await twin.request("HEARTBEAT")
    with env.case("ten LOGINs of one class at once leave one session"):
        rivals = [env.new_client(account, device_class=messages.TABLET) for _ in range(10)]
        await asyncio.gather(*(rival.login() for rival in rivals), return_exceptions=True)
        ends = [rival.connection.closed.wait() for rival in rivals]
        for end in itertools.islice(asyncio.as_completed(ends, timeout=ANSWER_TIMEOUT), 9):
            await end
        survivors = [rival for rival in rivals if not rival.connection.closed.is_set()]
        expect_equal(len(survivors), 1, "sessions that stay")
        await survivors[0].request("HEARTBEAT")


async def logout(env):
    account = await env.user()
    device, other = await env.client(account), await env.client(account, device_class=messages.PHONE)
    with env.case("LOGOUT ends all tokens of the device and the session; the connection closes after the answer"):
        ended = [device.token, (await device.request("REFRESH_TOKEN")).token]
        await device.request("LOGOUT")
        await expect_closed(device.connection)
        for token in ended:
            expect_code(await _token_login(env, device, token), Code.BAD_CREDENTIALS)
    with env.case("after the LOGOUT the user's other device stays, and so does its token"):
        await other.request("HEARTBEAT")
        expect(other.kick is None, "it was kicked")
        expect_code(await _token_login(env, other, other.token), Code.OK)
    with env.case("after the LOGOUT the device logs in by password, and its new token is good"):
        device.token, device.connection = None, None
        await device.login()
        expect_code(await _token_login(env, device, device.token), Code.OK)


async def heartbeat(env):
    alice, bob = await env.users(2)
    with env.case("HEARTBEAT before login: the head is 0, the time is the server's"):
        body = await (await env.connect()).request("HEARTBEAT")
        expect_equal(body.head_seq, 0, "head_seq")
        expect(body.server_time_ms > 0, "no server_time_ms")
    with env.case("HEARTBEAT carries the head of the mailbox"):
        client = await env.client(alice)
        for number in range(1, 4):
            sent = await client.send_ok("x", receiver_id=bob.user_id)
            body = await client.request("HEARTBEAT", local_seq=client.mailbox.local)
            expect_equal((sent.seq, body.head_seq), (number, number), "the seq of the message and the head")


async def rate_limit(env):
    account, other = await env.users(2)
    wrong = env.login_fields(account, password="wrong password")
    with env.case("RATE_LIMITED: LOGIN after 5 wrong passwords, with retry_after_ms; also with the right one"):
        first = await _until_limited(env, wrong)
        expect(first.body.retry_after_ms > 0, "no retry_after_ms")
        right = await _login_now(env, env.login_fields(account))
        expect_code(right, Code.RATE_LIMITED, "the right password")
    with env.case("RATE_LIMITED of one account does not stop another one"):
        expect_code(await env.answer_once("LOGIN", **env.login_fields(other)), Code.OK)
    with env.case("RATE_LIMITED: the time doubles with the next wrong password"):
        await asyncio.sleep(first.body.retry_after_ms / 1000)
        second = await _until_limited(env, wrong)
        expect(second.body.retry_after_ms > first.body.retry_after_ms * 1.5,
               f"{first.body.retry_after_ms} ms, then {second.body.retry_after_ms} ms")
    with env.case("after retry_after_ms the right password is OK"):
        expect_code(await env.answer_once("LOGIN", **env.login_fields(account)), Code.OK)


async def _until_limited(env, fields):
    for _ in range(12):
        response = await _login_now(env, fields)
        if response.code == Code.RATE_LIMITED:
            return response
        expect_code(response, Code.BAD_CREDENTIALS)
    expect(False, "12 wrong passwords, and no RATE_LIMITED")


async def _login_now(env, fields):
    connection = await env.connect()
    try:
        return await connection.answer("LOGIN", **dict(fields, device_id=uuid.uuid4().hex))
    finally:
        await connection.close()
