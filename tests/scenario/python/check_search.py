"""SEARCH: what is found in which scripts, by whom, page by page, and what bad queries get."""

import uuid

from harness import expect, expect_code, expect_equal
from wire import Code, messages


async def search(env):
    alice, bob, carol = await env.users(3)
    sender, receiver = await env.client(alice), await env.client(bob)
    stranger = await env.client(carol)
    said = ["Good morning", "我们在北京大学见面", "コンピューターを買う", "good evening"]
    sent = [await sender.send_ok(text, receiver_id=bob.user_id) for text in said]
    with env.case("SEARCH finds words by their beginning and other scripts at any place, newest first"):
        for query, wanted in (
            ("good", [said[3], said[0]]), ("GOO even", [said[3]]), ("京", [said[1]]), ("北京大学", [said[1]]),
            ("ピュー", [said[2]]), ("\"good morning\"", [said[0]]), ("ood", []), ("京北", []), ("good mars", []),
        ):
            for session in (sender, receiver):
                expect_equal(await _texts(session, query=query), wanted, query)
    with env.case("SEARCH: hits have their seq; pages meet"):
        page = await receiver.request("SEARCH", query="good", limit=1)
        expect_equal([entry.msg_id for entry in page.entries], [sent[3].msg_id], "the newest")
        expect(page.entries[0].seq == page.cursor, "the next page begins below the hit")
        page = await receiver.request("SEARCH", query="good", limit=1, cursor=page.cursor)
        expect_equal([entry.msg_id for entry in page.entries], [sent[0].msg_id], "the other one")
    with env.case("SEARCH of one conversation; nobody finds what others said"):
        expect_equal(len(await _texts(sender, query="good", receiver_id=bob.user_id)), 2, "hits")
        expect_equal(await _texts(sender, query="good", receiver_id=carol.user_id), [], "hits")
        for scope in ({}, {"receiver_id": bob.user_id}, {"group_id": 2**31 - 1}):
            expect_equal(await _texts(stranger, query="good", **scope), [], "hits of a stranger")
    with env.case("SEARCH after EDIT and RECALL: the text as it is now"):
        edit = {"receiver_id": bob.user_id, "request_id": uuid.uuid4().bytes, "content": b"fine evening"}
        await _change(sender, "EDIT", conv_seq=sent[3].conv_seq, **edit)
        expect_equal(await _texts(receiver, query="evening"), ["fine evening"], "the new text")
        expect_equal(await _texts(receiver, query="good"), [said[0]], "the old one")
        await _change(sender, "RECALL", receiver_id=bob.user_id, conv_seq=sent[3].conv_seq)
        expect_equal(await _texts(receiver, query="evening"), [], "a recalled text")
    await _names(env, sender, receiver, bob)
    await _errors(env, sender)


async def _names(env, sender, receiver, bob):
    with env.case("SEARCH of friends and groups by name"):
        answer = await sender.request("SEARCH", scope=messages.SEARCH_FRIENDS, query=bob.username)
        expect_equal(list(answer.users), [], "a stranger")
        await _change(sender, "FRIEND_APPLY", user_id=bob.user_id, reason="")
        await _change(receiver, "FRIEND_HANDLE", user_id=sender.account.user_id, accept=True)
        answer = await sender.request("SEARCH", scope=messages.SEARCH_FRIENDS, query=bob.username)
        expect_equal([user.user_id for user in answer.users], [bob.user_id], "friends")
        fields = {"name": "北京 trip", "member_ids": [], "request_id": uuid.uuid4().bytes}
        made = await _change(sender, "GROUP_CREATE", **fields)
        answer = await sender.request("SEARCH", scope=messages.SEARCH_GROUPS, query="京 tri")
        expect_equal([group.group_id for group in answer.groups], [made.group_id], "groups")
        answer = await receiver.request("SEARCH", scope=messages.SEARCH_GROUPS, query="trip")
        expect_equal(list(answer.groups), [], "groups of a stranger to it")


async def _errors(env, sender):
    with env.case("BAD_REQUEST: SEARCH for nothing, of no scope, or of friends in a conversation"):
        for query in ("", " ", "%", "*", "\"\"", "\0", "+-()"):
            expect_code(await sender.answer("SEARCH", query=query), Code.BAD_REQUEST)
        expect_code(await sender.answer("SEARCH", query="x", scope=7), Code.BAD_REQUEST)
        both = {"receiver_id": 10001, "group_id": 10001}
        expect_code(await sender.answer("SEARCH", query="x", **both), Code.BAD_REQUEST)
        friends = {"scope": messages.SEARCH_FRIENDS, "receiver_id": 10001}
        expect_code(await sender.answer("SEARCH", query="x", **friends), Code.BAD_REQUEST)
    with env.case("SEARCH: what looks like a pattern or a statement is none"):
        for query in ("goo%", "g_od", "good*", "x' OR '1'='1", "\"; DROP TABLE im_user; --", "+a -b", "a" * 256):
            expect_equal(await _texts(sender, query=query), ["Good morning"] if query in ("goo%", "good*") else [], query)
    with env.case("TOO_LARGE: SEARCH for 257 bytes and for almost 1 MiB"):
        for length in (257, 1_000_000):
            expect_code(await sender.answer("SEARCH", query="a" * length), Code.TOO_LARGE)
    with env.case("NOT_FOUND: SEARCH in a conversation that cannot be"):
        expect_code(await sender.answer("SEARCH", query="x", receiver_id=2**31), Code.NOT_FOUND)
        expect_code(await sender.answer("SEARCH", query="x", group_id=2**63), Code.NOT_FOUND)


async def _texts(session, **fields):
    page = await session.request("SEARCH", **fields)
    return [entry.content.decode() for entry in page.entries]


async def _change(session, command, **fields):
    body = await session.request(command, **fields)
    if body.seq:
        session.mailbox.see_head(body.seq)
    return body
