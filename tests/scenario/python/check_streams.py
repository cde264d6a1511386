"""Large groups: when one becomes a stream, what is pushed and read of it, how stays begin and end."""

import uuid

from harness import expect, expect_code, expect_equal
from wire import Code, messages


async def large_group(env, owner, readers, late, group_id):
    """`late` is the account of the member that makes the group of the owner and the readers too large."""
    with env.case("NOT_FOUND: a group that is no stream"):
        expect_code(await owner.answer("MSG_SYNC", stream=group_id), Code.NOT_FOUND)
    joiner = await env.client(late)
    with env.case("the member 501 makes the group a stream: its last entry in the mailboxes says so"):
        answer = await owner.request("GROUP_INVITE", group_id=group_id, member_ids=[late.user_id])
        expect_equal(list(answer.added_ids), [late.user_id], "added_ids")
        began = [await _marker(client, group_id, messages.GROUP_BECAME_STREAM) for client in (owner, *readers, joiner)]
        begin = began[0].conv_seq
        expect_equal({entry.conv_seq for entry in began}, {begin}, "where it begins")
        groups = (await owner.request("GROUP_LIST")).groups
        expect_equal([group.is_stream for group in groups if group.group_id == group_id], [True], "is_stream")
    with env.case("MSG_SEND to a stream: seq 0, pushed to all by conv_seq, and in no mailbox"):
        sent = await owner.send_ok("to the stream", group_id=group_id)
        expect_equal((sent.seq, sent.conv_seq), (0, begin + 1), "seq, conv_seq")
        for client in (owner, *readers, joiner):
            entry = await _pushed(client, group_id, sent.msg_id)
            expect_equal((entry.seq, entry.conv_seq, entry.content), (begin + 1, begin + 1, b"to the stream"), "the entry")
            expect(sent.msg_id not in {entry.msg_id for entry in client.mailbox.entries.values()}, "it is in a mailbox")
    with env.case("MSG_SYNC of a stream begins where the reader's stay does, and says what it skips"):
        page = await joiner.request("MSG_SYNC", stream=group_id)
        expect_equal((page.stream, page.skipped_to, page.head, page.more, page.is_over),
                     (group_id, begin, begin + 1, False, False), "stream, skipped_to, head, more, is_over")
        expect_equal([entry.msg_id for entry in page.entries], [sent.msg_id], "the entries")
        answer = await joiner.answer("MSG_SYNC", stream=group_id, after_seq=begin + 2)
        expect_code(answer, Code.RESYNC)
    with env.case("MARK_DELIVERED of a stream; LOGIN_RESP and HEARTBEAT_RESP name the stream and its head"):
        await joiner.request("MARK_DELIVERED", stream=group_id, seq=begin + 1)
        expect_code(await joiner.answer("MARK_DELIVERED", stream=group_id, seq=begin + 2), Code.BAD_REQUEST)
        heads = (await joiner.request("HEARTBEAT")).heads
        expect_equal([(head.stream, head.head) for head in heads], [(group_id, begin + 1)], "the heartbeat's heads")
        await joiner.reconnect()
        heads = [head for head in joiner.login_response.heads if head.stream == group_id]
        expect_equal([(head.head, head.cursor) for head in heads], [(begin + 1, begin + 1)], "LOGIN_RESP")
    await _searching(env, owner, readers[0], joiner, group_id)
    await _leaving(env, owner, readers[0], joiner, group_id)


async def _searching(env, owner, member, joiner, group_id):
    """Before this "to all" was said in the mailboxes and "to the stream" after it, when `joiner` was in."""
    with env.case("SEARCH in a group that became a stream finds what was said before, too, newest first; not by who came later"):
        for query, wanted in (("to", [b"to the stream", b"to all"]), ("all", [b"to all"]), ("stream", [b"to the stream"])):
            for client in (owner, member):
                expect_equal(await _found(client, query, group_id=group_id), wanted, query)
        for scope in ({}, {"group_id": group_id}):
            expect_equal(await _found(joiner, "to", **scope), [b"to the stream"], "by who came later")
    with env.case("SEARCH in a stream: hits have their seq there; pages meet"):
        page = await member.request("SEARCH", query="to", group_id=group_id, limit=1)
        hits = [(entry.content, entry.seq == entry.conv_seq) for entry in page.entries]
        expect_equal(hits, [(b"to the stream", True)], "the first page")
        page = await member.request("SEARCH", query="to", group_id=group_id, limit=1, cursor=page.cursor)
        expect_equal([entry.content for entry in page.entries], [b"to all"], "the second page")
    with env.case("SEARCH in a stream after RECALL and EDIT: the text as it is now"):
        said = [await owner.send_ok(text, group_id=group_id) for text in ("pears today", "plums today")]
        await owner.request("RECALL", group_id=group_id, conv_seq=said[0].conv_seq)
        edit = {"request_id": uuid.uuid4().bytes, "content": b"plums tomorrow"}
        await owner.request("EDIT", group_id=group_id, conv_seq=said[1].conv_seq, **edit)
        for client in (owner, joiner):
            expect_equal(await _found(client, "today", group_id=group_id), [], "what is not said any more")
            expect_equal(await _found(client, "plums", group_id=group_id), [b"plums tomorrow"], "the new text")


async def _found(client, query, **scope):
    page = await client.request("SEARCH", query=query, **scope)
    return [entry.content for entry in page.entries]


async def _leaving(env, owner, leaver, stayer, group_id):
    with env.case("who leaves a stream reads its stay to the end, and nothing after it"):
        answer = await leaver.request("GROUP_LEAVE", group_id=group_id)
        expect(answer.seq > 0, "the entry is in the mailbox")
        left = await _marker(leaver, group_id, messages.MEMBER_LEFT)
        after = await owner.send_ok("after it", group_id=group_id)
        await _pushed(stayer, group_id, after.msg_id)
        page = await leaver.request("MSG_SYNC", stream=group_id)
        expect_equal((page.head, page.is_over), (left.conv_seq - 1, True), "head, is_over")
        texts = [entry.content for entry in page.entries if entry.type == messages.TEXT]
        expect_equal(texts, [b"to the stream", b"", b"plums tomorrow"], "the texts")
        expect_code(await leaver.answer("MARK_DELIVERED", stream=group_id, seq=1), Code.NOT_FOUND)
    with env.case("who comes back begins another stay"):
        answer = await owner.request("GROUP_INVITE", group_id=group_id, member_ids=[leaver.account.user_id])
        expect_equal(answer.seq, 0, "the seq of an entry that comes by the stream")
        back = await _marker(leaver, group_id, messages.MEMBERS_JOINED, above=left.conv_seq)
        page = await leaver.request("MSG_SYNC", stream=group_id, after_seq=left.conv_seq - 1)
        expect_equal((page.skipped_to, page.head, len(page.entries)), (back.conv_seq, back.conv_seq, 0), "the page")
    with env.case("the end of the group is in its stream"):
        await owner.request("GROUP_DISSOLVE", group_id=group_id)
        await stayer.mailbox.until(lambda: _dissolved(stayer, group_id), "the end of the group")
        page = await stayer.request("MSG_SYNC", stream=group_id, after_seq=back.conv_seq)
        expect_equal((len(page.entries), page.is_over), (1, True), "entries, is_over")


async def _marker(client, group_id, kind, above=0):
    def fits(entry):
        if entry.group_id != group_id or entry.type != messages.SYSTEM_GROUP or entry.conv_seq <= above:
            return False
        event = messages.GroupEvent.FromString(entry.content)
        return event.kind == kind and event.is_stream

    return await client.mailbox.until_entry(fits, f"the event {kind} of the stream {group_id}")


async def _pushed(client, group_id, msg_id):
    def found():
        return next((entry for stream, entry in client.streamed if stream == group_id and entry.msg_id == msg_id), None)

    return await client.mailbox.until(found, f"message {msg_id} in the stream {group_id}")


def _dissolved(client, group_id):
    events = (messages.GroupEvent.FromString(entry.content) for stream, entry in client.streamed
              if stream == group_id and entry.type == messages.SYSTEM_GROUP)
    return any(event.kind == messages.GROUP_DISSOLVED for event in events)
