"""Friends: requests and answers, lists, deletes of one side, blocks; who may write; errors and limits."""

from harness import expect, expect_code, expect_equal, message_fields
from wire import Code, messages

CHANGES = ("FRIEND_APPLY", "FRIEND_HANDLE", "FRIEND_DELETE", "FRIEND_UPDATE", "BLOCK", "UNBLOCK")


async def friend_entry(client, kind):
    """The first entry of the mailbox with a FriendEvent of this kind."""
    def fits(entry):
        return (entry.type == messages.SYSTEM_FRIEND
                and messages.FriendEvent.FromString(entry.content).kind == kind)

    return await client.mailbox.until_entry(fits, f"the event {kind}")


async def listed(client, which):
    answer = await client.request("FRIEND_LIST", list=which)
    return {relation.user_id: relation for relation in answer.relations}


async def write(client, account):
    return (await client.answer("MSG_SEND", **message_fields(account.user_id))).code


async def friendship(env):
    alice, bob = await env.users(2)
    first, second = await env.client(alice), await env.client(bob)
    with env.case("FRIEND_APPLY is an entry of both, with the reason, and stands among the other's requests"):
        applied = await first.request("FRIEND_APPLY", user_id=bob.user_id, reason="von der Arbeit 🌍")
        entry = await friend_entry(second, messages.FRIEND_APPLIED)
        expect_equal(messages.FriendEvent.FromString(entry.content).reason, "von der Arbeit 🌍", "the reason")
        expect_equal((entry.sender_id, entry.receiver_id, entry.group_id), (alice.user_id, bob.user_id, 0), "the places")
        expect(applied.seq > 0, "the response names no entry")
        request = (await listed(second, messages.REQUESTS))[alice.user_id]
        expect(request.has_asked and not request.is_friend and request.asked_ms > 0, f"the request is {request}")
    with env.case("a repeat of FRIEND_APPLY changes nothing"):
        again = await first.request("FRIEND_APPLY", user_id=bob.user_id, reason="von der Arbeit 🌍")
        expect_equal(again.seq, 0, "the seq")
    with env.case("FRIEND_HANDLE with accept puts each into the other's list"):
        await second.request("FRIEND_HANDLE", user_id=alice.user_id, accept=True)
        await friend_entry(first, messages.FRIEND_ACCEPTED)
        for client, other in ((first, bob), (second, alice)):
            expect((await listed(client, messages.FRIENDS))[other.user_id].is_friend, "it is no friend")
        expect_equal(await listed(second, messages.REQUESTS), {}, "the requests")
    with env.case("FRIEND_UPDATE is one's own: the other sees nothing of it"):
        await first.request("FRIEND_UPDATE", user_id=bob.user_id, remark="Bobby", folder="Büro")
        mine, theirs = (await listed(first, messages.FRIENDS))[bob.user_id], (await listed(second, messages.FRIENDS))
        expect_equal((mine.remark, mine.folder), ("Bobby", "Büro"), "remark and folder")
        expect_equal(theirs[alice.user_id].remark, "", "the other's remark")
    await _ends(env, alice, bob, first, second)


async def _ends(env, alice, bob, first, second):
    with env.case("FRIEND_DELETE is of one side: the other keeps the entry, but may not write"):
        await first.request("FRIEND_DELETE", user_id=bob.user_id)
        expect(bob.user_id not in await listed(first, messages.FRIENDS), "still listed")
        expect(alice.user_id in await listed(second, messages.FRIENDS), "the other lost the entry")
        expect_equal(await write(second, alice), Code.FORBIDDEN, "a message of the deleted one")
        expect_equal(await write(first, bob), Code.OK, "a message of the one who deleted")
    with env.case("FRIEND_APPLY to somebody who has one in the list makes both friends at once"):
        expect((await first.request("FRIEND_APPLY", user_id=bob.user_id)).seq > 0, "nothing changed")
        expect_equal(await write(second, alice), Code.OK, "a message")
    with env.case("BLOCK: neither may write nor ask; it is listed; UNBLOCK ends it"):
        await second.request("BLOCK", user_id=alice.user_id)
        expect_equal((await write(first, bob), await write(second, alice)), (Code.FORBIDDEN, Code.FORBIDDEN), "messages")
        expect((await listed(second, messages.BLOCKED))[alice.user_id].is_blocked, "not listed")
        expect_equal(await listed(first, messages.BLOCKED), {}, "the blocked one's own list")
        expect_code(await first.answer("FRIEND_APPLY", user_id=bob.user_id, reason="x"), Code.FORBIDDEN)
        await second.request("UNBLOCK", user_id=alice.user_id)
        expect_equal(await write(first, bob), Code.OK, "a message after it")


async def friend_errors(env):
    alice, bob = await env.users(2)
    client = await env.client(alice)
    nobody = env.no_user_id()
    for name in CHANGES:
        with env.case(f"{name} of a user that does not exist is NOT_FOUND, of oneself BAD_REQUEST"):
            expect_code(await client.answer(name, user_id=nobody), Code.NOT_FOUND)
            expect_code(await client.answer(name, user_id=0), Code.NOT_FOUND)
            expect_code(await client.answer(name, user_id=alice.user_id), Code.BAD_REQUEST)
    for name in ("FRIEND_HANDLE", "FRIEND_DELETE", "FRIEND_UPDATE"):
        with env.case(f"NOT_FOUND: {name} where there is neither friend nor request"):
            expect_code(await client.answer(name, user_id=bob.user_id), Code.NOT_FOUND)
    refused = {
        "a reason of 513 bytes": ("FRIEND_APPLY", dict(reason="r" * 513), Code.TOO_LARGE),
        "a reason with a line feed": ("FRIEND_APPLY", dict(reason="a\nb"), Code.BAD_REQUEST),
        "a remark of 129 bytes": ("FRIEND_UPDATE", dict(remark="r" * 129), Code.TOO_LARGE),
        "a folder with a control character": ("FRIEND_UPDATE", dict(folder="\x07"), Code.BAD_REQUEST),
    }
    for what, (name, fields, code) in refused.items():
        with env.case(f"{code.name}: {name} with {what}"):
            expect_code(await client.answer(name, user_id=bob.user_id, **fields), code)
    with env.case("FRIEND_APPLY with a reason of 512 bytes is OK"):
        await client.request("FRIEND_APPLY", user_id=bob.user_id, reason="r" * 512)
    with env.case("BAD_REQUEST: FRIEND_LIST of a list that there is not"):
        expect_code(await client.answer("FRIEND_LIST", list=9), Code.BAD_REQUEST)
    with env.case("FRIEND_LIST by pages of one"):
        many = await env.users(3)
        for account in many:
            await client.request("BLOCK", user_id=account.user_id)
        found, after = [], 0
        while True:
            page = await client.request("FRIEND_LIST", list=messages.BLOCKED, after_user_id=after, limit=1)
            found += [relation.user_id for relation in page.relations]
            if not page.more:
                break
            after = found[-1]
        expect_equal(found, sorted(account.user_id for account in many), "blocked users")
