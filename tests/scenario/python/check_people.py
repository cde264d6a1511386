"""Presence, devices, passwords and profiles."""

import uuid

from check_told import told_next
from harness import expect, expect_code, expect_equal, sync_all
from wire import Code, messages


async def presence(env):
    alice, bob, carol = await env.users(3)
    viewer, stranger = await env.client(alice), await env.client(carol)
    with env.case("PRESENCE_QUERY: strangers and who does not exist are left out"):
        body = await viewer.request("PRESENCE_QUERY", user_ids=[bob.user_id, 2**31 - 1, env.no_user_id(), 0])
        expect_equal(list(body.users), [], "users")
        own = await viewer.request("PRESENCE_QUERY", user_ids=[alice.user_id] * 2)
        expect_equal([(u.user_id, list(u.online)) for u in own.users], [(alice.user_id, [messages.DESKTOP])], "oneself")
    with env.case("PRESENCE_SUBSCRIBE: a friend comes and goes"):
        friend = await env.client(bob, device_class=messages.PHONE)
        await viewer.request("FRIEND_APPLY", user_id=bob.user_id)
        await friend.request("FRIEND_HANDLE", user_id=alice.user_id, accept=True)
        body = await viewer.request("PRESENCE_SUBSCRIBE", user_ids=[bob.user_id, carol.user_id])
        expect_equal([(u.user_id, list(u.online)) for u in body.users], [(bob.user_id, [messages.PHONE])], "users")
        await friend.close()
        told = await told_next(viewer, messages.PresenceNotify)
        expect_equal([(u.user_id, list(u.online)) for u in told.users], [(bob.user_id, [])], "who has gone")
        friend = await env.client(bob, device_class=messages.WEB)
        told = await told_next(viewer, messages.PresenceNotify)
        expect_equal([(u.user_id, list(u.online)) for u in told.users], [(bob.user_id, [messages.WEB])], "who has come")
    with env.case("USER_UPDATE: who sees whether one is online is the user's to say"):
        for audience, count in ((messages.PRESENCE_TO_EVERYBODY, 1), (messages.PRESENCE_TO_NOBODY, 0)):
            await friend.request("USER_UPDATE", presence_audience=audience)
            body = await stranger.request("PRESENCE_QUERY", user_ids=[bob.user_id])
            expect_equal(len(body.users), count, f"users with {audience}")
    with env.case("PRESENCE_QUERY and PRESENCE_SUBSCRIBE: 201 users are TOO_LARGE"):
        for command in ("PRESENCE_QUERY", "PRESENCE_SUBSCRIBE"):
            expect_code(await viewer.answer(command, user_ids=range(1, 202)), Code.TOO_LARGE)
            expect_code(await viewer.answer(command, user_ids=range(1, 201)), Code.OK)
            expect_code(await viewer.answer(command), Code.OK)


async def profiles(env):
    alice = await env.user()
    session = await env.client(alice)
    other = await env.client(alice, device_class=messages.PHONE)
    with env.case("USER_UPDATE: one's devices are told, everybody reads it, a repeat is OK with seq 0"):
        fields = {"nickname": "Alice ☂", "avatar_url": "https://example.org/a.png"}
        body = await session.request("USER_UPDATE", **fields)
        entry = await other.mailbox.until_entry(lambda entry: entry.type == messages.SYSTEM_SELF, "the profile")
        expect_equal(entry.seq, body.seq, "seq")
        own = messages.SelfEvent.FromString(entry.content).profile
        expect_equal((own.user.nickname, own.user.avatar_url), tuple(fields.values()), "the profile")
        found = await session.request("USER_GET", user_ids=[alice.user_id])
        expect_equal(found.users[0].nickname, fields["nickname"], "nickname")
        expect_equal((await session.request("USER_UPDATE", **fields)).seq, 0, "seq of a repeat")
    with env.case("USER_UPDATE: wrong names, URLs and audiences"):
        for fields, code in (({"nickname": ""}, Code.BAD_REQUEST), ({"nickname": "x" * 129}, Code.TOO_LARGE),
                             ({"avatar_url": "a\nb"}, Code.BAD_REQUEST), ({"avatar_url": "x" * 513}, Code.TOO_LARGE),
                             ({"presence_audience": 9}, Code.BAD_REQUEST)):
            expect_code(await session.answer("USER_UPDATE", **fields), code)
        expect_code(await session.answer("USER_UPDATE", avatar_url=""), Code.OK)
        entries, _ = await sync_all(session)
        expect_equal(len(entries), 2, "entries")


async def devices(env):
    alice = await env.user()
    session = await env.client(alice, device_id="here", device_name="desk")
    with env.case("DEVICE_LIST: the last login first, with what is online and which is this one"):
        phone = await env.client(alice, device_class=messages.PHONE, device_id="phone")
        listed = (await session.request("DEVICE_LIST")).devices
        expect_equal([(d.device_id, d.device_class, d.is_online, d.is_this) for d in listed],
                     [("phone", messages.PHONE, True, False), ("here", messages.DESKTOP, True, True)], "devices")
        expect_equal(listed[1].device_name, "desk", "device_name")
        expect(listed[0].login_time_ms >= listed[1].login_time_ms > 0, "login_time_ms")
    with env.case("DEVICE_REVOKE: the session ends with REVOKED, its token is BAD_CREDENTIALS"):
        await session.request("DEVICE_REVOKE", device_id="phone")
        await phone.connection.wait_closed()
        expect_equal(phone.kick.reason, messages.REVOKED, "the reason")
        fields = {"token": phone.token, "device_id": "phone", "device_class": messages.PHONE}
        expect_code(await env.answer_once("LOGIN", **fields), Code.BAD_CREDENTIALS)
        expect_code(await session.answer("DEVICE_REVOKE", device_id="phone"), Code.OK)
        expect_code(await session.answer("DEVICE_REVOKE", device_id=uuid.uuid4().hex), Code.NOT_FOUND)
        expect_code(await session.answer("DEVICE_REVOKE"), Code.BAD_REQUEST)
        expect_code(await session.answer("DEVICE_REVOKE", device_id="x" * 65), Code.BAD_REQUEST)
    with env.case("CHANGE_PASSWORD: other sessions and all older tokens end, this session has a new one"):
        web = await env.client(alice, device_class=messages.WEB, device_id="web")
        before = session.token
        old, new = alice.password, "another password"
        expect_code(await session.answer("CHANGE_PASSWORD", old_password="no password of hers",
                                         new_password=new), Code.BAD_CREDENTIALS)
        body = await session.request("CHANGE_PASSWORD", old_password=old, new_password=new)
        await web.connection.wait_closed()
        expect_equal(web.kick.reason, messages.REVOKED, "the reason")
        for token, code in ((before, Code.BAD_CREDENTIALS), (body.token, Code.OK)):
            fields = {"token": token, "device_id": "here", "device_class": messages.DESKTOP}
            expect_code(await env.answer_once("LOGIN", **fields), code)
    with env.case("CHANGE_PASSWORD: wrong lengths"):
        session = await env.session(await env.user())
        for old, new, code in (("", "x" * 8, Code.BAD_REQUEST), (old, "x" * 7, Code.BAD_REQUEST),
                               (old, "x" * 513, Code.TOO_LARGE), ("x" * 513, "x" * 8, Code.TOO_LARGE)):
            fields = {"old_password": old, "new_password": new}
            expect_code(await session.answer("CHANGE_PASSWORD", **fields), code)
