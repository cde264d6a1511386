"""Sending, pushes, MSG_SYNC, HISTORY, repeats, MARK_DELIVERED; and the client's rule itself."""

import asyncio
import uuid

from connection import ANSWER_TIMEOUT
from harness import expect, expect_code, expect_equal, message_fields, sync_all
from mailbox import GAP_WAIT, Mailbox
from wire import CONTENT_MAX, EXTRA_MAX, PAGE_BYTES_MAX, TEXT_MAX, Code, messages

TEXTS = {
    "one letter": "a", "a NUL": "\x00", "control characters": "\r\n\t\x07\x1b[0m", "spaces only": "   ",
    "Latin with marks": "Größe, e\u0301té, Ångström, ﬁ", "Greek and Cyrillic": "Ελληνικά, Русский",
    "right to left": "שלום עולם، مرحبا بالعالم \u202eabc", "Indic and Thai": "नमस्ते, வணக்கம், สวัสดี",
    "Chinese, Japanese, Korean": "你好，こんにちは、안녕하세요", "beyond the first plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𠜎",
    "emoji": "👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇺🇳 ☎️", "noncharacters": "\ufeff \uffff \U0010ffff",
    "64 KiB of one byte letters": "x" * TEXT_MAX, "64 KiB of four byte letters": "😀" * (TEXT_MAX // 4),
}
BINARY_TYPES = ("IMAGE", "FILE", "VOICE", "VIDEO", "LOCATION", "CUSTOM")


async def client_rule(env):
    """Checks this client, not the server: the others lean on it."""
    stored = [messages.MessageData(seq=seq) for seq in range(1, 11)]
    asked = []

    async def fetch(after_seq):
        asked.append(after_seq)
        return messages.MsgSyncResp(entries=stored[after_seq:after_seq + 3], head=10)

    with env.case("the client's rule: wrong order and repeats need no MSG_SYNC, a gap or a head above does"):
        mailbox = Mailbox(fetch)
        for seq in (1, 3, 3, 2, 1, 5, 4):
            mailbox.add(stored[seq - 1])
        expect_equal((mailbox.local, asked), (5, []), "local, and what was asked")
        await asyncio.sleep(2 * GAP_WAIT)  # nothing may happen: there is no event to wait for
        expect_equal(asked, [], "what was asked without a gap")
        mailbox.add(stored[8 - 1])
        expect_equal(mailbox.local, 5, "local before the gap is closed")
        await mailbox.until_local(10)
        expect_equal(asked[0], 5, "after_seq of the first MSG_SYNC")
        expect_equal(list(mailbox.entries), list(range(1, 11)), "the seqs applied")


async def contents(env):
    alice, bob = await env.users(2)
    sender, receiver = await env.client(alice), await env.client(bob)
    for what, text in TEXTS.items():
        with env.case(f"TEXT arrives: {what}"):
            await _arrives(sender, receiver, content=text.encode(), extra=b"\x00\xff")
    for name in BINARY_TYPES:
        with env.case(f"{name} arrives with bytes of every kind"):
            await _arrives(sender, receiver, type=getattr(messages, name), content=bytes(range(256)))
    with env.case("CUSTOM arrives without content"):
        await _arrives(sender, receiver, type=messages.CUSTOM, content=b"")
    with env.case("content of 1,031,168 bytes with extra of 16 KiB arrives"):
        content, extra = env.random.getrandbits(8 * CONTENT_MAX), env.random.getrandbits(8 * EXTRA_MAX)
        await _arrives(sender, receiver, type=messages.FILE, content=content.to_bytes(CONTENT_MAX, "big"),
                       extra=extra.to_bytes(EXTRA_MAX, "big"))
    with env.case("a message to oneself is one entry"):
        sent = await sender.send_ok("to me", receiver_id=alice.user_id)
        await sender.mailbox.until_local(sent.seq)
        stored, _ = await sync_all(sender)
        expect_equal([entry.seq for entry in stored if entry.msg_id == sent.msg_id], [sent.seq], "seqs")
        expect_equal((stored[-1].sender_id, stored[-1].receiver_id), (alice.user_id, alice.user_id), "the two")
        expect_equal(sent.conv_seq, 1, "conv_seq, of a conversation of its own")


async def _arrives(sender, receiver, **fields):
    fields = message_fields(receiver.account.user_id, **fields)
    sent = await sender.send_ok(fields.pop("content"), **fields)
    arrived = await receiver.mailbox.until_message(sent.msg_id)
    # The sender's client made its entry of the request and the answer: the receiver's differs in seq only.
    wanted = messages.MessageData()
    wanted.CopyFrom(sender.own_sends[sent.seq])
    wanted.seq = arrived.seq
    expect(arrived == wanted, f"sent {_short(wanted)}, got {_short(arrived)}")


def _short(entry):
    return f"({str(entry)[:200]} …)"


# ---------------------------------------------------------------- pushes and sync

async def pushes(env):
    alice, bob = await env.users(2)
    desk, phone = await env.client(alice), await env.client(alice, device_class=messages.PHONE)
    other = await env.client(bob)
    with env.case("the server pushes: an entry to the receiver and to the sender's other session"):
        sent = await desk.send_ok("one", receiver_id=bob.user_id)
        for reader in (other, phone):
            await reader.mailbox.until_message(sent.msg_id)
            expect_equal([entry.msg_id for entry in reader.pushed], [sent.msg_id], "what was pushed")
    with env.case("300 messages both ways: all are applied in order, heads are right"):
        rounds = [(desk, bob), (other, alice), (phone, bob)]
        futures = [client.send(f"{number}", receiver_id=peer.user_id)
                   for number in range(100) for client, peer in rounds]
        for response in await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT):
            expect_code(response, Code.OK)
        for client in (desk, phone, other):
            await client.mailbox.until_local(301)
            _notifications_are_sound(client)
    with env.case("the session that sent gets no push of it"):
        pushed = {entry.msg_id for entry in desk.pushed}
        own = {entry.msg_id for entry in desk.own_sends.values()}
        expect_equal(len(own), 101, "own messages")
        expect_equal(pushed & own, set(), "own messages pushed")
    with env.case("sync from zero by pages is what was pushed plus the own sends, at every device"):
        for client in (desk, phone, other):
            stored, pages = await sync_all(client, limit=7)
            expect_equal(pages, -(-301 // 7), "the pages")
            expect(stored == list(client.mailbox.entries.values()), f"{client.account.username} has other entries")
    with env.case("both conversations of the readers hold the same order and conv_seq"):
        views = [[(entry.msg_id, entry.conv_seq) for entry in client.mailbox.entries.values()]
                 for client in (desk, phone, other)]
        expect(views[0] == views[1] == views[2], "the orders differ")
        expect_equal([place for _, place in views[0]], list(range(1, 302)), "conv_seqs")


def _notifications_are_sound(client):
    """Looks at every MSG_PUSH_NOTIFY that came so far."""
    queue = client.connection.notifications
    while not queue.empty():
        push = queue.get_nowait().body
        seqs = [entry.seq for entry in push.entries]
        expect_equal(seqs, sorted(set(seqs)), "the seqs of a push")
        expect_equal(push.stream, 0, "the stream")
        expect(push.head >= max(seqs, default=0), f"head {push.head} below the entry {seqs[-1:]}")
        expect(push.head <= client.mailbox.local, f"head {push.head} above the mailbox's end {client.mailbox.local}")


async def sync(env):
    alice, bob = await env.users(2)
    client = await env.client(alice)
    futures = [client.send(f"{number}", receiver_id=alice.user_id) for number in range(600)]
    await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT)
    for limit, wanted in ((0, 500), (1, 1), (499, 499), (500, 500), (501, 500), (0xFFFFFFFF, 500)):
        with env.case(f"MSG_SYNC with limit {limit} gives {wanted}"):
            page = await client.request("MSG_SYNC", limit=limit)
            expect_equal([entry.seq for entry in page.entries], list(range(1, wanted + 1)), "seqs")
            expect_equal((page.head, page.more, page.stream), (600, True, 0), "head, more, stream")
    with env.case("MSG_SYNC at the head is empty and says no more; up to the head neither"):
        page = await client.request("MSG_SYNC", after_seq=600)
        expect_equal((len(page.entries), page.head, page.more), (0, 600, False), "entries, head, more")
        page = await client.request("MSG_SYNC", after_seq=590, limit=10)
        expect_equal((len(page.entries), page.head, page.more), (10, 600, False), "entries, head, more")
    with env.case("a page of MSG_SYNC or HISTORY ends before 256 KiB, and holds at least one entry"):
        reader = await env.client(bob)
        await _send_sizes(client, bob, [60000] * 12 + [CONTENT_MAX] + [60000] * 3)
        await _pages_are_small(reader, "MSG_SYNC", {}, "after_seq", lambda entry: entry.seq)
        await _pages_are_small(reader, "HISTORY", dict(receiver_id=alice.user_id, limit=500), "after_conv_seq",
                               lambda entry: entry.conv_seq)


async def _send_sizes(client, receiver, sizes):
    futures = [client.send(bytes(size), receiver_id=receiver.user_id, type=messages.CUSTOM) for size in sizes]
    for response in await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT):
        expect_code(response, Code.OK)


async def _pages_are_small(reader, command, fields, position_field, position):
    # Position 0 is "the newest" to HISTORY: the first entry is taken as known.
    at, more, sizes = 1, True, []
    while more:
        page = await reader.request(command, **dict(fields, **{position_field: at}))
        size = sum(len(entry.SerializeToString()) for entry in page.entries)
        expect(len(page.entries) == 1 or size < PAGE_BYTES_MAX, f"{command}: a page of {size} bytes")
        places = [position(entry) for entry in page.entries]
        expect_equal(places, list(range(at + 1, at + 1 + len(places))), "places")
        expect(page.entries, f"{command}: an empty page after {at}")
        at, more = at + len(page.entries), page.more
        sizes.append(size)
    expect_equal(at, 16, f"{command}: the last place")
    expect(max(sizes) > CONTENT_MAX, f"{command}: no page with the large entry")


# ---------------------------------------------------------------- history

async def history(env):
    alice, bob, carol = await env.users(3)
    client, other = await env.client(alice), await env.client(bob)
    for turn in range(60):  # 120 entries, 60 by each
        await asyncio.gather(client.send_ok(f"a{turn}", receiver_id=bob.user_id),
                             other.send_ok(f"b{turn}", receiver_id=alice.user_id))
    await client.mailbox.until_local(120)
    expected = _without_seq(client.mailbox.entries.values())

    async def page(reader=client, peer=bob, **fields):
        return await reader.request("HISTORY", receiver_id=peer.user_id, **fields)

    with env.case("HISTORY without limit and place: the newest 50, ascending"):
        answer = await page()
        expect_equal((answer.more, answer.max_conv_seq), (True, 120), "more, max_conv_seq")
        expect(list(answer.entries) == expected[70:], "other entries")
    with env.case("HISTORY backwards by pages gives every entry once, with seq 0"):
        expect(await _all_backwards(page) == expected, "other entries than those of the mailbox")
    with env.case("HISTORY forwards by pages gives every entry once"):
        expect(await _all_forwards(page) == expected[1:], "other entries than those of the mailbox")
    with env.case("HISTORY is the same for both"):
        expect(list((await page(other, alice, limit=200)).entries) == expected, "other entries")
    with env.case("HISTORY at the ends: before 1 and after the last one there is nothing"):
        for fields in (dict(before_conv_seq=1), dict(after_conv_seq=120), dict(after_conv_seq=1 << 40)):
            answer = await page(**fields)
            expect_equal((len(answer.entries), answer.more, answer.max_conv_seq), (0, False, 120), str(fields))
        expect_equal(len((await page(before_conv_seq=1 << 40, limit=500)).entries), 120, "entries before a far one")
    with env.case("HISTORY of an empty 1:1 conversation is an empty page"):
        answer = await page(client, carol)
        expect_equal((len(answer.entries), answer.more, answer.max_conv_seq), (0, False, 0), "the answer")
    with env.case("HISTORY with limit 500 and above gives 500"):
        futures = [client.send("x", receiver_id=alice.user_id) for _ in range(505)]
        await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT)
        for limit in (500, 501, 0xFFFFFFFF):
            answer = await page(client, alice, limit=limit)
            expect_equal([entry.conv_seq for entry in answer.entries], list(range(6, 506)), f"limit {limit}")


def _without_seq(entries):
    copies = []
    for entry in entries:
        copy = messages.MessageData()
        copy.CopyFrom(entry)
        copy.seq = 0
        copies.append(copy)
    return copies


async def _all_backwards(page):
    entries, more, place = [], True, 0
    while more:
        answer = await page(before_conv_seq=place, limit=17)
        entries = list(answer.entries) + entries
        more, place = answer.more, entries[0].conv_seq
    return entries


async def _all_forwards(page):
    entries, more, place = [], True, 1
    while more:
        answer = await page(after_conv_seq=place, limit=17)
        entries.extend(answer.entries)
        more, place = answer.more, entries[-1].conv_seq
    return entries


# ---------------------------------------------------------------- repeats

async def resending(env):
    alice, bob, carol = await env.users(3)
    client, other = await env.client(alice), await env.client(bob)
    fields = message_fields(bob.user_id, extra=b"extra")
    with env.case("a repeat of a MSG_SEND is answered the same, on its own and on another connection"):
        first = await client.request("MSG_SEND", **fields)
        expect_equal(await client.request("MSG_SEND", **fields), first, "the repeat's answer")
        await client.reconnect()
        expect_equal(await client.request("MSG_SEND", **fields), first, "the answer on another connection")
        phone = await env.client(alice, device_class=messages.PHONE)
        expect_equal(await phone.request("MSG_SEND", **fields), first, "the answer to another device")
        await other.mailbox.until_message(first.msg_id)
        expect_equal((await client.request("HISTORY", receiver_id=bob.user_id)).max_conv_seq, 1, "entries made")
    for what, change in {"content": dict(content=b"other"), "type": dict(type=messages.CUSTOM),
                         "extra": dict(extra=b"other")}.items():
        with env.case(f"CONFLICT: MSG_SEND with a used client_msg_id and another {what}"):
            expect_code(await client.answer("MSG_SEND", **dict(fields, **change)), Code.CONFLICT)
    with env.case("the same client_msg_id in another conversation, or of another sender, is another message"):
        elsewhere = await client.request("MSG_SEND", **dict(fields, receiver_id=carol.user_id))
        reverse = await other.request("MSG_SEND", **dict(fields, receiver_id=alice.user_id))
        expect_equal(len({first.msg_id, elsewhere.msg_id, reverse.msg_id}), 3, "messages")
    with env.case("ten equal MSG_SENDs at once on two connections make one message"):
        phone = await env.client(alice, device_class=messages.PHONE)
        fields = message_fields(bob.user_id)
        sends = [session.answer("MSG_SEND", **fields) for session in (client, phone) for _ in range(5)]
        results = {str(expect_code(response, Code.OK)) for response in await asyncio.gather(*sends)}
        expect_equal(len(results), 1, "results")
    with env.case("200 messages over five cut connections arrive once, in order"):
        await _send_over_cuts(env, client, other)


async def _send_over_cuts(env, client, other):
    texts = [f"cut {number} {uuid.uuid4().hex}" for number in range(200)]
    futures = []
    for part in range(5):
        futures += [client.send(text, receiver_id=other.account.user_id) for text in texts[part * 40:part * 40 + 40]]
        await asyncio.wait_for(futures[part * 40 + env.random.randrange(40)], ANSWER_TIMEOUT)
        client.connection.writer.transport.abort()
        await client.connection.wait_closed()
        await client.reconnect()
    for response in await asyncio.wait_for(asyncio.gather(*futures), ANSWER_TIMEOUT):
        expect_code(response, Code.OK)
    last = futures[-1].result().body.msg_id
    for reader in (client, other):
        await reader.mailbox.until_message(last)
        arrived = [entry.content.decode() for entry in reader.mailbox.entries.values()
                   if entry.content.startswith(b"cut ")]
        expect_equal(arrived, texts, f"the texts in the mailbox of {reader.account.username}")


async def delivered(env):
    alice, bob = await env.users(2)
    client, other = await env.client(alice), await env.client(alice, device_class=messages.PHONE)
    for _ in range(3):
        await client.send_ok("x", receiver_id=bob.user_id)

    async def cursor_after(**fields):
        await client.request("MARK_DELIVERED", **fields)
        return (await client.reconnect()).login_response.cursor

    with env.case("MARK_DELIVERED: the next LOGIN_RESP of the device has it as cursor"):
        expect_equal(await cursor_after(seq=2), 2, "the cursor")
    with env.case("MARK_DELIVERED with a lower seq changes nothing, a repeat neither"):
        expect_equal(await cursor_after(seq=1), 2, "the cursor after a lower one")
        expect_equal(await cursor_after(seq=2), 2, "the cursor after a repeat")
    with env.case("MARK_DELIVERED up to the head; another device keeps its own cursor"):
        expect_equal(await cursor_after(seq=3), 3, "the cursor")
        expect_equal((await other.reconnect()).login_response.cursor, 0, "the other device's cursor")
    with env.case("BAD_REQUEST: MARK_DELIVERED above the head"):
        expect_code(await client.answer("MARK_DELIVERED", seq=4), Code.BAD_REQUEST)
    with env.case("NOT_FOUND: MARK_DELIVERED of another stream"):
        expect_code(await client.answer("MARK_DELIVERED", stream=1, seq=1), Code.NOT_FOUND)


# ---------------------------------------------------------------- refused

async def send_errors(env):
    alice, bob = await env.users(2)
    client = await env.client(alice)
    nobody = env.no_user_id()
    variants = {
        Code.BAD_REQUEST: {
            "neither receiver_id nor group_id": dict(receiver_id=None),
            "both receiver_id and group_id": dict(group_id=1),
            "no client_msg_id": dict(client_msg_id=None),
            "a client_msg_id of 15 bytes": dict(client_msg_id=bytes(15)),
            "a client_msg_id of 17 bytes": dict(client_msg_id=bytes(17)),
            "no type": dict(type=None),
            "type 8": dict(type=8),
            "type SYSTEM_GROUP": dict(type=messages.SYSTEM_GROUP),
            "type -1": dict(type=-1),
            "an empty text": dict(content=b""),
            "a text that is not UTF-8": dict(content=b"ab\xff"),
            "a text with a surrogate": dict(content=b"\xed\xa0\x80"),
            "a text that is cut": dict(content="é".encode()[:1]),
        },
        Code.TOO_LARGE: {
            "a text of 64 KiB + 1": dict(content=b"x" * (TEXT_MAX + 1)),
            "a content of 1,031,169 bytes": dict(type=messages.FILE, content=bytes(CONTENT_MAX + 1)),
            "extra of 16 KiB + 1": dict(extra=bytes(EXTRA_MAX + 1)),
        },
        Code.NOT_FOUND: {
            "an unknown user": dict(receiver_id=nobody),
            "an unknown group": dict(receiver_id=None, group_id=nobody),
        },
    }
    for code, cases in variants.items():
        for what, fields in cases.items():
            with env.case(f"{code.name}: MSG_SEND with {what}"):
                fields = dict(message_fields(bob.user_id), **fields)
                expect_code(await client.answer("MSG_SEND", **fields), code)
    with env.case("what was refused left no entry"):
        expect_equal((await client.request("HEARTBEAT")).head_seq, 0, "the head")


async def read_errors(env):
    alice, bob = await env.users(2)
    client = await env.client(alice)
    await client.send_ok("x", receiver_id=bob.user_id)
    nobody = env.no_user_id()
    cases = (
        ("RESYNC", "MSG_SYNC after the head + 1", "MSG_SYNC", dict(after_seq=2)),
        ("RESYNC", "MSG_SYNC after the greatest number", "MSG_SYNC", dict(after_seq=(1 << 64) - 1)),
        ("NOT_FOUND", "MSG_SYNC of another stream", "MSG_SYNC", dict(stream=1)),
        ("BAD_REQUEST", "HISTORY of nobody", "HISTORY", {}),
        ("BAD_REQUEST", "HISTORY of a user and a group", "HISTORY", dict(receiver_id=bob.user_id, group_id=1)),
        ("BAD_REQUEST", "HISTORY before and after", "HISTORY",
         dict(receiver_id=bob.user_id, before_conv_seq=2, after_conv_seq=1)),
        ("NOT_FOUND", "HISTORY with an unknown user", "HISTORY", dict(receiver_id=nobody)),
        ("NOT_FOUND", "HISTORY of an unknown group", "HISTORY", dict(group_id=nobody)),
    )
    for code, what, command, fields in cases:
        with env.case(f"{code}: {what}"):
            expect_code(await client.answer(command, **fields), Code[code])


async def slow_reader(env):
    alice, bob = await env.users(2)
    sender, reader = await env.client(alice), env.new_client(bob)
    await reader.login(receive_buffer=4096)
    with env.case("who does not read for a while stays connected and has everything afterwards"):
        transport = reader.connection.writer.transport
        transport.pause_reading()
        await _send_sizes(sender, bob, [CONTENT_MAX] * 12)
        transport.resume_reading()
        await reader.mailbox.until_local(12)
        expect(not reader.connection.closed.is_set(), "the connection was closed")
        stored, _ = await sync_all(reader)
        expect(stored == list(reader.mailbox.entries.values()), "the entries are not those of the mailbox")
    with env.case("pushes go on after that"):
        sent = await sender.send_ok("after", receiver_id=bob.user_id)
        await reader.mailbox.until_message(sent.msg_id)
        expect_equal(reader.pushed[-1].msg_id, sent.msg_id, "the last one pushed")
