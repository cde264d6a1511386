"""What is told and not stored: TYPING and the receipts that follow marks."""

import asyncio
import uuid

from harness import expect, expect_code, expect_equal, sync_all
from wire import Code, messages

QUIET_S = 1.5


async def typing(env):
    alice, bob, carol = await env.users(3)
    writer, reader = await env.client(alice), await env.client(bob)
    phone = await env.client(bob, device_class=messages.PHONE)
    other = await env.client(alice, device_class=messages.PHONE)
    with env.case("TYPING: all devices of the other are told, one's own are not, and nothing is stored"):
        await writer.request("TYPING", receiver_id=bob.user_id)
        await writer.request("TYPING", receiver_id=bob.user_id, is_over=True)
        for session in (reader, phone):
            told = [await told_next(session, messages.TypingNotify) for _ in range(2)]
            expect_equal([(t.sender_id, t.receiver_id, t.group_id) for t in told],
                         [(alice.user_id, bob.user_id, 0)] * 2, "who, to whom")
            expect_equal([t.is_over for t in told], [False, True], "is_over")
        await is_quiet(other, messages.TypingNotify)
        entries, _ = await sync_all(reader)
        expect_equal(entries, [], "the mailbox")
    with env.case("TYPING in a group: all other members are told"):
        group = await writer.request("GROUP_CREATE", name="g", member_ids=[bob.user_id, carol.user_id],
                                     request_id=uuid.uuid4().bytes)
        await writer.request("TYPING", group_id=group.group_id)
        told = await told_next(reader, messages.TypingNotify)
        expect_equal((told.sender_id, told.receiver_id, told.group_id), (alice.user_id, 0, group.group_id), "where")
    with env.case("TYPING: NOT_FOUND, BAD_REQUEST, FORBIDDEN as of a message"):
        absent = env.no_user_id()
        stranger = await env.client(await env.user())
        expect_code(await writer.answer("TYPING", receiver_id=absent), Code.NOT_FOUND)
        expect_code(await writer.answer("TYPING", receiver_id=2**31 - 1), Code.NOT_FOUND)
        expect_code(await stranger.answer("TYPING", group_id=group.group_id), Code.NOT_FOUND)
        expect_code(await stranger.answer("TYPING"), Code.BAD_REQUEST)
        expect_code(await stranger.answer("TYPING", receiver_id=1, group_id=1), Code.BAD_REQUEST)
        await reader.request("BLOCK", user_id=alice.user_id)
        expect_code(await writer.answer("TYPING", receiver_id=bob.user_id), Code.FORBIDDEN)
        await reader.request("UNBLOCK", user_id=alice.user_id)
    with env.case("TYPING: RATE_LIMITED when it comes in a flood, and soon no longer"):
        session = await env.session(await env.user())
        futures = [session.send("TYPING", receiver_id=bob.user_id) for _ in range(30)]
        responses = await asyncio.gather(*futures)
        limited = [r for r in responses if r.code == Code.RATE_LIMITED]
        expect(limited and len(limited) < 30, f"{len(limited)} of 30 were limited")
        await asyncio.sleep(max(r.body.retry_after_ms for r in limited) / 1000)
        expect_code(await session.answer("TYPING", receiver_id=bob.user_id), Code.OK)


async def receipts(env):
    alice, bob = await env.users(2)
    sender, reader = await env.client(alice), await env.client(bob)
    with env.case("RECEIPT_NOTIFY: the sender learns what was delivered and what was read"):
        sent = await sender.send_ok("hello", receiver_id=bob.user_id)
        entry = await reader.mailbox.until_message(sent.msg_id)
        await reader.request("MARK_DELIVERED", seq=entry.seq)
        told = await told_next(sender, messages.ReceiptNotify)
        expect_equal((told.user_id, told.delivered_conv_seq, told.read_conv_seq),
                     (bob.user_id, sent.conv_seq, 0), "the receipt")
        await reader.request("MARK_READ", receiver_id=alice.user_id, conv_seq=sent.conv_seq)
        told = await told_next(sender, messages.ReceiptNotify)
        expect_equal((told.user_id, told.read_conv_seq), (bob.user_id, sent.conv_seq), "the receipt")
    with env.case("RECEIPT_NOTIFY: who blocks tells nothing"):
        sent = await sender.send_ok("more", receiver_id=bob.user_id)
        await reader.request("BLOCK", user_id=alice.user_id)
        await reader.request("MARK_READ", receiver_id=alice.user_id, conv_seq=sent.conv_seq)
        await is_quiet(sender, messages.ReceiptNotify)


async def told_next(session, kind):
    """The next notification of this kind; others are passed over."""
    while True:
        notification = await session.connection.notification()
        if isinstance(notification.body, kind):
            return notification.body


async def is_quiet(session, kind):
    try:
        while True:
            notification = await session.connection.notification(timeout=QUIET_S)
            expect(not isinstance(notification.body, kind), f"it is told {notification.body}")
    except TimeoutError:
        pass
