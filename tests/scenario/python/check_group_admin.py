"""What owner and admins of groups do: roles, removal, muting, settings, requests to come in, the end."""

from check_groups import group_entry, new_group, roles
from harness import expect, expect_code, expect_equal, message_fields
from wire import Code, messages


async def say(client, group_id):
    return (await client.answer("MSG_SEND", **message_fields(group_id=group_id))).code


async def administration(env):
    alice, bob, carol, dave = accounts = await env.users(4)
    owner, admin, member, stranger = [await env.client(account) for account in accounts]
    group_id = (await owner.request("GROUP_CREATE", **new_group("all of us", [bob, carol]))).group_id
    with env.case("GROUP_SET_ROLE by the owner makes an ADMIN, which all members hear"):
        expect_code(await admin.answer("GROUP_SET_ROLE", group_id=group_id, user_id=bob.user_id, role=messages.ADMIN),
                    Code.FORBIDDEN)
        await owner.request("GROUP_SET_ROLE", group_id=group_id, user_id=bob.user_id, role=messages.ADMIN)
        await group_entry(member, group_id, messages.ADMIN_MADE)
        expect_equal((await roles(member, group_id))[bob.user_id], messages.ADMIN, "the role")
    with env.case("GROUP_UPDATE: name and announcement, in the event and in GROUP_LIST"):
        await admin.request("GROUP_UPDATE", group_id=group_id, name="Überall", announcement="seid pünktlich")
        event, _ = await group_entry(member, group_id, messages.GROUP_UPDATED)
        expect_equal((event.name, event.announcement), ("Überall", "seid pünktlich"), "the event")
        info = (await member.request("GROUP_LIST")).groups[0]
        expect_equal((info.name, info.announcement), ("Überall", "seid pünktlich"), "the group")
    with env.case("GROUP_MUTE of a member and of all: FORBIDDEN to speak, and no longer"):
        await admin.request("GROUP_MUTE", group_id=group_id, user_id=carol.user_id, seconds=600)
        expect_equal(await say(member, group_id), Code.FORBIDDEN, "the muted one's message")
        await admin.request("GROUP_MUTE", group_id=group_id, user_id=carol.user_id)
        expect_equal(await say(member, group_id), Code.OK, "the message after it")
        await admin.request("GROUP_MUTE", group_id=group_id, all_muted=True)
        expect_equal((await say(member, group_id), await say(admin, group_id)), (Code.FORBIDDEN, Code.OK), "messages")
        await owner.request("GROUP_MUTE", group_id=group_id)
        expect_equal(await say(member, group_id), Code.OK, "the message after it")
    await _joining(env, owner, admin, member, stranger, group_id)
    with env.case("GROUP_REMOVE: the last entry says so; a repeat changes nothing"):
        fields = dict(group_id=group_id, user_ids=[dave.user_id])
        await admin.request("GROUP_REMOVE", **fields)
        await group_entry(stranger, group_id, messages.MEMBERS_REMOVED)
        expect_equal((await admin.request("GROUP_REMOVE", **fields)).seq, 0, "the repeat's seq")
        expect_equal(await say(stranger, group_id), Code.NOT_FOUND, "the removed one's message")
        expect_code(await admin.answer("GROUP_REMOVE", group_id=group_id, user_ids=[alice.user_id]), Code.FORBIDDEN)
    with env.case("GROUP_TRANSFER makes another OWNER, GROUP_DISSOLVE by that one ends the group"):
        await owner.request("GROUP_TRANSFER", group_id=group_id, user_id=carol.user_id)
        expect_equal(await roles(admin, group_id), {alice.user_id: messages.MEMBER, bob.user_id: messages.ADMIN,
                                                    carol.user_id: messages.OWNER}, "roles")
        expect_code(await owner.answer("GROUP_DISSOLVE", group_id=group_id), Code.FORBIDDEN)
        await member.request("GROUP_DISSOLVE", group_id=group_id)
        await group_entry(owner, group_id, messages.GROUP_DISSOLVED)
        expect_equal((await member.request("GROUP_DISSOLVE", group_id=group_id)).seq, 0, "the repeat's seq")
        expect_equal(len((await owner.request("GROUP_LIST")).groups), 0, "groups")
    await _newcomers(owner, stranger, env)


async def _newcomers(owner, late, env):
    group_id = (await owner.request("GROUP_CREATE", **new_group("open", []))).group_id
    with env.case("GROUP_UPDATE: open_history lets newcomers read from there on, by HISTORY and SEARCH alone"):
        await owner.send_ok("tea before", group_id=group_id)
        await owner.request("GROUP_UPDATE", group_id=group_id, open_history=True)
        event, told = await group_entry(owner, group_id, messages.GROUP_UPDATED)
        expect(event.open_history, "the event does not say it")
        sent = await owner.send_ok("tea after", group_id=group_id)
        await owner.request("GROUP_INVITE", group_id=group_id, member_ids=[late.account.user_id])
        _, joined = await group_entry(late, group_id, messages.MEMBERS_JOINED)
        page = await late.request("HISTORY", group_id=group_id)
        expect_equal([entry.conv_seq for entry in page.entries],
                     [told.conv_seq, sent.conv_seq, joined.conv_seq], "conv_seqs")
        hits = (await late.request("SEARCH", query="tea", group_id=group_id)).entries
        expect_equal([entry.conv_seq for entry in hits], [sent.conv_seq], "hits")
        expect((await late.request("GROUP_LIST")).groups[0].open_history, "GROUP_LIST does not say it")
        listed = (await late.request("CONVERSATION_LIST")).conversations
        expect_equal([one.unread for one in listed if one.view.group_id == group_id], [0], "unread")


async def _joining(env, owner, admin, member, stranger, group_id):
    user_id = stranger.account.user_id
    with env.case("GROUP_JOIN: NOT_FOUND by invitation; where one asks, admins get the request and answer it"):
        expect_code(await stranger.answer("GROUP_JOIN", group_id=group_id), Code.NOT_FOUND)
        await owner.request("GROUP_UPDATE", group_id=group_id, join_mode=messages.ASKED)
        expect_equal((await stranger.request("GROUP_JOIN", group_id=group_id, reason="bitte")).seq, 0, "the seq")

        def asks(entry):
            return (entry.type == messages.SYSTEM_SELF
                    and messages.SelfEvent.FromString(entry.content).group_request.user_id == user_id)

        entry = await admin.mailbox.until_entry(asks, "the request")
        request = messages.SelfEvent.FromString(entry.content).group_request
        expect_equal((request.group_id, request.reason), (group_id, "bitte"), "the request")
        expect_equal((entry.receiver_id, entry.group_id, entry.conv_seq), (0, 0, entry.seq), "its places")
        waiting = (await owner.request("GROUP_REQUESTS", group_id=group_id)).requests
        expect_equal([request.user_id for request in waiting], [user_id], "those who wait")
        expect_code(await member.answer("GROUP_REQUESTS", group_id=group_id), Code.FORBIDDEN)
        answer = dict(group_id=group_id, user_id=user_id, accept=True)
        expect_code(await member.answer("GROUP_HANDLE_JOIN", **answer), Code.FORBIDDEN)
        await admin.request("GROUP_HANDLE_JOIN", **answer)
        await group_entry(stranger, group_id, messages.MEMBERS_JOINED)
        expect_equal((await owner.request("GROUP_HANDLE_JOIN", **answer)).seq, 0, "a second answer's seq")
        expect_equal(await say(stranger, group_id), Code.OK, "the new member's message")


async def administration_errors(env):
    alice, bob, carol = await env.users(3)
    owner, stranger = await env.client(alice), await env.client(carol)
    group_id = (await owner.request("GROUP_CREATE", **new_group("strangers", [bob]))).group_id
    nobody = env.no_user_id()
    user = dict(user_id=bob.user_id)
    changes = {
        "GROUP_REMOVE": dict(user_ids=[bob.user_id]), "GROUP_SET_ROLE": dict(user, role=messages.ADMIN),
        "GROUP_TRANSFER": user, "GROUP_UPDATE": dict(name="x"), "GROUP_MUTE": dict(user, seconds=1),
        "GROUP_DISSOLVE": {}, "GROUP_HANDLE_JOIN": user, "GROUP_REQUESTS": {}, "GROUP_JOIN": {},
    }
    for name, fields in changes.items():
        with env.case(f"NOT_FOUND: {name} with a group that one never was in, or that does not exist"):
            for other in (group_id, nobody):
                expect_code(await stranger.answer(name, **dict(fields, group_id=other)), Code.NOT_FOUND)
    refused = {
        "GROUP_REMOVE of nobody": (dict(user_ids=[]), Code.BAD_REQUEST),
        "GROUP_SET_ROLE to OWNER": (dict(user, role=messages.OWNER), Code.BAD_REQUEST),
        "GROUP_SET_ROLE of a stranger": (dict(user_id=carol.user_id, role=messages.ADMIN), Code.NOT_FOUND),
        "GROUP_SET_ROLE of oneself": (dict(user_id=alice.user_id, role=messages.MEMBER), Code.FORBIDDEN),
        "GROUP_TRANSFER to a stranger": (dict(user_id=carol.user_id), Code.NOT_FOUND),
        "GROUP_UPDATE with a name of 129 bytes": (dict(name="n" * 129), Code.TOO_LARGE),
        "GROUP_UPDATE with an announcement of 4097 bytes": (dict(announcement="a" * 4097), Code.TOO_LARGE),
        "GROUP_UPDATE with an unknown join_mode": (dict(join_mode=7), Code.BAD_REQUEST),
        "GROUP_MUTE of all with seconds": (dict(seconds=5), Code.BAD_REQUEST),
        "GROUP_MUTE for eleven years": (dict(user, seconds=11 * 366 * 86_400), Code.TOO_LARGE),
        "GROUP_HANDLE_JOIN of who did not ask": (dict(user_id=carol.user_id, accept=True), Code.NOT_FOUND),
    }
    for what, (fields, code) in refused.items():
        with env.case(f"{code.name}: {what}"):
            expect_code(await owner.answer(what.split()[0], **dict(fields, group_id=group_id)), code)
