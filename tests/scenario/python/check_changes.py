"""RECALL, EDIT and MARK_READ: what readers see of a changed message, who may, and who is told."""

import uuid

from harness import expect, expect_code, expect_equal, sync_all
from wire import TEXT_MAX, Code, messages

RECALLED, EDITED = 1, 2
TELLING = ("RECALL", "EDIT", "MARK_READ")


async def changes(env):
    alice, bob, carol = await env.users(3)
    sender, receiver = await env.client(alice), await env.client(bob)
    stranger = await env.client(carol)
    sent = await sender.send_ok("first text", receiver_id=bob.user_id)
    place = {"receiver_id": bob.user_id, "conv_seq": sent.conv_seq}
    edit = {**place, "request_id": uuid.uuid4().bytes, "content": b"second text", "extra": b"x"}
    with env.case("EDIT: all readers see the new text, and are told"):
        answer = await _request(sender, "EDIT", **edit)
        told = await receiver.mailbox.until_entry(_is_told(messages.MESSAGE_EDITED), "the edit")
        event = messages.MessageEvent.FromString(told.content)
        expect_equal((event.msg_id, event.conv_seq), (sent.msg_id, sent.conv_seq), "the message")
        expect_equal((event.content, event.extra, told.client_msg_id), (b"second text", b"x", b""), "the entry")
        expect_equal(told.sender_id, alice.user_id, "who did it")
        expect(answer.seq > sent.seq, "its own entry comes after the message")
        await _reads(receiver, sent, b"second text", EDITED)
    with env.case("EDIT: a repeat is OK with seq 0, the same id with another text is CONFLICT"):
        expect_equal((await sender.request("EDIT", **edit)).seq, 0, "seq")
        expect_code(await sender.answer("EDIT", **{**edit, "content": b"other"}), Code.CONFLICT)
    with env.case("EDIT and RECALL of somebody else's message are FORBIDDEN"):
        theirs = {"receiver_id": alice.user_id, "conv_seq": sent.conv_seq}
        fields = {**theirs, "request_id": uuid.uuid4().bytes, "content": b"mine"}
        expect_code(await receiver.answer("EDIT", **fields), Code.FORBIDDEN)
        expect_code(await receiver.answer("RECALL", **theirs), Code.FORBIDDEN)
    with env.case("RECALL: nobody reads what was said, a repeat is OK with seq 0"):
        await _request(sender, "RECALL", **place)
        for session in (sender, receiver):
            await _reads(session, sent, b"", RECALLED | EDITED)
            stored, _ = await sync_all(session)
            expect(not any(b"text" in entry.content for entry in stored), "a text is left")
        await receiver.mailbox.until_entry(_is_told(messages.MESSAGE_RECALLED), "the recall")
        expect_equal((await sender.request("RECALL", **place)).seq, 0, "seq")
    with env.case("EDIT of a recalled message is CONFLICT"):
        fields = {**place, "request_id": uuid.uuid4().bytes, "content": b"again"}
        expect_code(await sender.answer("EDIT", **fields), Code.CONFLICT)
    with env.case("MARK_READ: only one's own devices are told, a lower mark changes nothing"):
        mark = {"receiver_id": alice.user_id, "conv_seq": sent.conv_seq}
        expect((await _request(receiver, "MARK_READ", **mark)).seq > 0, "an entry")
        expect_equal((await receiver.request("MARK_READ", **mark)).seq, 0, "seq of a repeat")
        stored, _ = await sync_all(sender)
        expect(not any(entry.type == messages.SYSTEM_SELF for entry in stored), "the sender is told")
    await _errors(env, sender, stranger, bob, sent)


async def references(env):
    alice, bob = await env.users(2)
    sender, receiver = await env.client(alice), await env.client(bob)
    with env.case("MSG_SEND: replies and mentions arrive, and belong to the message"):
        fields = {"receiver_id": bob.user_id, "client_msg_id": uuid.uuid4().bytes,
                  "reply_to_msg_id": 7, "mention_ids": [bob.user_id] * 50}
        sent = await sender.send_ok("hi", **fields)
        entry = await receiver.mailbox.until_message(sent.msg_id)
        expect_equal((entry.reply_to_msg_id, list(entry.mention_ids)), (7, fields["mention_ids"]), "references")
        other = {**fields, "type": messages.TEXT, "content": b"hi", "reply_to_msg_id": 8}
        expect_code(await sender.answer("MSG_SEND", **other), Code.CONFLICT)
    with env.case("MSG_SEND: 51 mentions are TOO_LARGE, a user that cannot exist is BAD_REQUEST"):
        for ids, code in (([1] * 51, Code.TOO_LARGE), ([0], Code.BAD_REQUEST), ([2**31], Code.BAD_REQUEST)):
            wrong = {"receiver_id": bob.user_id, "client_msg_id": uuid.uuid4().bytes, "type": messages.TEXT,
                     "content": b"hi", "mention_ids": ids}
            expect_code(await sender.answer("MSG_SEND", **wrong), code)


async def _errors(env, sender, stranger, bob, sent):
    fields = {"EDIT": {"request_id": bytes(16), "content": b"x"}, "RECALL": {}, "MARK_READ": {}}
    for command in TELLING:
        with env.case(f"NOT_FOUND: {command} of what is not there; BAD_REQUEST: of nothing"):
            more = fields[command]
            absent = {"receiver_id": bob.user_id, "conv_seq": 1000}
            expect_code(await sender.answer(command, **absent, **more), Code.NOT_FOUND)
            strange = {"receiver_id": bob.user_id, "conv_seq": sent.conv_seq}
            expect_code(await stranger.answer(command, **strange, **more), Code.NOT_FOUND)
            expect_code(await sender.answer(command, group_id=2**31 - 1, conv_seq=1, **more), Code.NOT_FOUND)
            expect_code(await sender.answer(command, receiver_id=bob.user_id, **more), Code.BAD_REQUEST)
            expect_code(await sender.answer(command, conv_seq=1, **more), Code.BAD_REQUEST)
    with env.case("EDIT: wrong ids and texts"):
        place = {"receiver_id": bob.user_id, "conv_seq": 1}
        for request_id, content, code in (
            (bytes(15), b"x", Code.BAD_REQUEST), (bytes(16), b"", Code.BAD_REQUEST),
            (bytes(16), b"\xff", Code.BAD_REQUEST), (bytes(16), b"x" * (TEXT_MAX + 1), Code.TOO_LARGE),
        ):
            expect_code(await sender.answer("EDIT", **place, request_id=request_id, content=content), code)


async def _request(session, command, **fields):
    """The entry that says so is the asker's own: it comes by sync (rule 5)."""
    body = await session.request(command, **fields)
    if body.seq:
        session.mailbox.see_head(body.seq)
    return body


async def _reads(session, sent, content, flags):
    other = session.account.user_id
    stored, _ = await sync_all(session)
    entry = next(entry for entry in stored if entry.msg_id == sent.msg_id)
    peer = entry.receiver_id if entry.sender_id == other else entry.sender_id
    page = await session.request("HISTORY", receiver_id=peer)
    for read in (entry, next(read for read in page.entries if read.msg_id == sent.msg_id)):
        expect_equal((read.content, read.flags), (content, flags), "content and flags")


def _is_told(kind):
    def fits(entry):
        is_event = entry.type == messages.SYSTEM_MESSAGE
        return is_event and messages.MessageEvent.FromString(entry.content).kind == kind
    return fits
