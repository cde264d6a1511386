"""CONVERSATION_LIST, CONVERSATION_UPDATE, RECEIPTS, REACT and REACTIONS."""

from harness import expect, expect_code, expect_equal, sync_all
from wire import Code, messages

CLEARED = 4
PINNED_MAX, REACTIONS_MAX, REACTION_BYTES_MAX = 100, 8, 64
NAMING = ("CONVERSATION_UPDATE", "RECEIPTS", "REACT", "REACTIONS")


async def lists(env):
    alice, bob, carol = await env.users(3)
    sender, reader = await env.client(alice), await env.client(bob)
    other = await env.client(carol)
    with env.case("CONVERSATION_LIST: nothing yet is an empty page"):
        page = await reader.request("CONVERSATION_LIST")
        expect_equal((len(page.conversations), page.next_before_seq, page.head), (0, 0, 0), "page")
    for text in ("one", "two", "three"):
        last = await sender.send_ok(text, receiver_id=bob.user_id)
    await other.send_ok("hello", receiver_id=bob.user_id)
    with env.case("CONVERSATION_LIST: the newest first, with what is unread, by pages"):
        first = await reader.request("CONVERSATION_LIST", limit=1)
        one, = first.conversations
        expect_equal((one.view.receiver_id, one.unread, one.last.content), (carol.user_id, 1, b"hello"), "the first")
        second = await reader.request("CONVERSATION_LIST", limit=1, before_seq=first.next_before_seq)
        one, = second.conversations
        expect_equal((one.view.receiver_id, one.unread, one.max_conv_seq), (alice.user_id, 3, 3), "the second")
        expect_equal(one.last.msg_id, last.msg_id, "its newest message")
    with env.case("CONVERSATION_LIST: marks and own messages are read"):
        await reader.request("MARK_READ", receiver_id=alice.user_id, conv_seq=2)
        await reader.send_ok("hi", receiver_id=carol.user_id)
        page = await reader.request("CONVERSATION_LIST")
        expect_equal([one.unread for one in page.conversations], [0, 1], "unread")
        expect_equal([one.view.read_conv_seq for one in page.conversations], [0, 2], "marks")
    with env.case("CONVERSATION_UPDATE: pinned, muted and cleared; a repeat is OK with seq 0"):
        change = {"receiver_id": alice.user_id, "pinned": True, "muted": True, "clear_conv_seq": 3}
        expect((await reader.request("CONVERSATION_UPDATE", **change)).seq > 0, "an entry")
        expect_equal((await reader.request("CONVERSATION_UPDATE", **change)).seq, 0, "seq")
        pinned = await reader.request("CONVERSATION_LIST", pinned=True)
        one, = pinned.conversations
        expect(one.view.pinned_ms > 0 and one.view.muted and not one.HasField("last"), "the view")
        page = await reader.request("CONVERSATION_LIST")
        expect_equal([one.view.receiver_id for one in page.conversations], [carol.user_id], "a list without it")
        history = await reader.request("HISTORY", receiver_id=alice.user_id)
        expect_equal((len(history.entries), history.more, history.max_conv_seq), (0, False, 3), "history")
        stored, _ = await sync_all(reader)
        blank = [entry for entry in stored if entry.flags & CLEARED]
        expect_equal((len(blank), any(entry.content for entry in blank)), (3, False), "cleared entries")
    with env.case("CONVERSATION_LIST: what is new comes back"):
        await sender.send_ok("four", receiver_id=bob.user_id)
        one = (await reader.request("CONVERSATION_LIST")).conversations[0]
        expect_equal((one.view.receiver_id, one.unread, one.last.content), (alice.user_id, 1, b"four"), "it")
    with env.case("BAD_REQUEST: pinned with before_seq, an update of nothing"):
        expect_code(await reader.answer("CONVERSATION_LIST", pinned=True, before_seq=1), Code.BAD_REQUEST)
        expect_code(await reader.answer("CONVERSATION_UPDATE", receiver_id=alice.user_id), Code.BAD_REQUEST)
    with env.case("RECEIPTS: read and received, for members"):
        receipt, = (await sender.request("RECEIPTS", receiver_id=bob.user_id)).receipts
        expect_equal((receipt.user_id, receipt.read_conv_seq, receipt.received_conv_seq), (bob.user_id, 2, 2), "it")
        head = (await reader.request("HEARTBEAT")).head_seq
        await reader.request("MARK_DELIVERED", seq=head)
        receipt, = (await sender.request("RECEIPTS", receiver_id=bob.user_id)).receipts
        expect_equal((receipt.read_conv_seq, receipt.received_conv_seq), (2, 4), "received")
    await _errors(env, sender, reader, alice, carol)


async def reactions(env):
    alice, bob = await env.users(2)
    sender, reader = await env.client(alice), await env.client(bob)
    sent = await sender.send_ok("good news", receiver_id=bob.user_id)
    place = {"receiver_id": alice.user_id, "conv_seq": sent.conv_seq}
    with env.case("REACT: the other is told, a repeat is OK with seq 0"):
        answer = await reader.request("REACT", **place, reaction="👍🏽")
        expect(answer.seq > 0, "an entry")
        told = await sender.mailbox.until_entry(_is_reaction, "the reaction")
        event = messages.MessageEvent.FromString(told.content)
        expect_equal((event.conv_seq, event.reaction, told.sender_id), (sent.conv_seq, "👍🏽", bob.user_id), "it")
        expect_equal((await reader.request("REACT", **place, reaction="👍🏽")).seq, 0, "seq")
    with env.case("REACTIONS: who reacted how"):
        await reader.request("REACT", **place, reaction="🎉")
        users = (await sender.request("REACTIONS", receiver_id=bob.user_id, conv_seq=1)).users
        expect_equal([(one.user_id, list(one.reactions)) for one in users], [(bob.user_id, ["👍🏽", "🎉"])], "list")
    with env.case("REACT: taken back"):
        await reader.request("REACT", **place, reaction="👍🏽", remove=True)
        users = (await sender.request("REACTIONS", receiver_id=bob.user_id, conv_seq=1)).users
        expect_equal([list(one.reactions) for one in users], [["🎉"]], "list")
    with env.case("REACT: too many, too long, none, not printable"):
        for number in range(1, REACTIONS_MAX):
            await reader.request("REACT", **place, reaction=f"+{number}")
        expect_code(await reader.answer("REACT", **place, reaction="+9"), Code.TOO_LARGE)
        for reaction, code in (
            ("x" * REACTION_BYTES_MAX, Code.TOO_LARGE), ("x" * (REACTION_BYTES_MAX + 1), Code.TOO_LARGE),
            ("", Code.BAD_REQUEST), ("a\nb", Code.BAD_REQUEST), ("\u202e", Code.BAD_REQUEST),
        ):
            expect_code(await reader.answer("REACT", **place, reaction=reaction), code)
        expect_code(await sender.answer("REACT", receiver_id=bob.user_id, conv_seq=2, reaction="x"), Code.NOT_FOUND)
    with env.case("REACT: who is blocked is FORBIDDEN"):
        await sender.request("BLOCK", user_id=bob.user_id)
        expect_code(await reader.answer("REACT", **place, reaction="🎉", remove=True), Code.FORBIDDEN)
        await sender.request("UNBLOCK", user_id=bob.user_id)
    with env.case("RECALL takes the reactions; REACT to a recalled message is CONFLICT"):
        await sender.request("RECALL", receiver_id=bob.user_id, conv_seq=sent.conv_seq)
        users = (await reader.request("REACTIONS", **place)).users
        expect_equal(len(users), 0, "reactions")
        expect_code(await reader.answer("REACT", **place, reaction="🎉"), Code.CONFLICT)


async def _errors(env, sender, reader, alice, carol):
    fields = {"CONVERSATION_UPDATE": {"muted": True}, "RECEIPTS": {},
              "REACT": {"conv_seq": 1, "reaction": "x"}, "REACTIONS": {"conv_seq": 1}}
    for command in NAMING:
        with env.case(f"NOT_FOUND: {command} of what is not there; BAD_REQUEST: of nothing"):
            more = fields[command]
            expect_code(await reader.answer(command, group_id=2**31 - 1, **more), Code.NOT_FOUND)
            expect_code(await reader.answer(command, receiver_id=2**31, **more), Code.NOT_FOUND)
            expect_code(await reader.answer(command, **more), Code.BAD_REQUEST)
            both = {"receiver_id": alice.user_id, "group_id": 1}
            expect_code(await reader.answer(command, **both, **more), Code.BAD_REQUEST)
            if command != "RECEIPTS":
                strange = {"receiver_id": carol.user_id}
                expect_code(await sender.answer(command, **strange, **more), Code.NOT_FOUND)
    with env.case("RECEIPTS of a conversation without entries are empty"):
        page = await sender.request("RECEIPTS", receiver_id=carol.user_id)
        expect_equal((len(page.receipts), page.more), (0, False), "page")
    with env.case("REACT and REACTIONS without a place are BAD_REQUEST"):
        for command, more in (("REACT", {"reaction": "x"}), ("REACTIONS", {})):
            expect_code(await reader.answer(command, receiver_id=alice.user_id, **more), Code.BAD_REQUEST)
    with env.case("CONVERSATION_UPDATE: nothing above the newest entry is cleared"):
        above = {"receiver_id": alice.user_id, "clear_conv_seq": 99}
        expect_code(await reader.answer("CONVERSATION_UPDATE", **above), Code.NOT_FOUND)


async def pins(env):
    owner, = await env.users(1)
    session = await env.client(owner)
    groups = []
    for number in range(PINNED_MAX + 1):
        body = await session.request("GROUP_CREATE", name=f"group {number}", request_id=number.to_bytes(16, "big"))
        groups.append(body.group_id)
    with env.case("CONVERSATION_UPDATE: 100 conversations are pinned, one more is TOO_LARGE"):
        for group in groups[:PINNED_MAX]:
            await session.request("CONVERSATION_UPDATE", group_id=group, pinned=True)
        expect_code(await session.answer("CONVERSATION_UPDATE", group_id=groups[-1], pinned=True), Code.TOO_LARGE)
        page = await session.request("CONVERSATION_LIST", pinned=True, limit=1)
        expect_equal((len(page.conversations), page.next_before_seq), (PINNED_MAX, 0), "one page of all")


def _is_reaction(entry):
    is_event = entry.type == messages.SYSTEM_MESSAGE
    return is_event and messages.MessageEvent.FromString(entry.content).kind == messages.MESSAGE_REACTED
