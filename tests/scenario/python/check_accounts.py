"""REGISTER, USER_GET and USER_FIND."""

import asyncio
import unicodedata
import uuid

from harness import expect, expect_code, expect_equal
from wire import Code

NICKNAME = "Ada 👩‍🚀 Лавлейс, 愛達"


def reported_form(name):
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).lower())


async def registering(env):
    with env.case("REGISTER makes a user; a repeat with the same request_id returns the same user"):
        registration = env.registration()
        first = env.account_of(registration, await env.answer_once("REGISTER", **registration))
        again = env.account_of(registration, await env.answer_once("REGISTER", **registration))
        expect(first.user_id > 0, "the user_id is 0")
        expect_equal(again, first, "the repeat's user")
    with env.case("REGISTER at once on five connections with one request_id makes one user"):
        registration = env.registration()
        answers = await asyncio.gather(*(env.answer_once("REGISTER", **registration) for _ in range(5)))
        accounts = {env.account_of(registration, answer) for answer in answers}
        expect_equal(len(accounts), 1, "the number of users")
    with env.case("REGISTER at once with five request_ids and one name: one OK, four CONFLICT"):
        name = env.new_name()
        answers = await asyncio.gather(*(env.answer_once("REGISTER", **env.registration(name)) for _ in range(5)))
        expect_equal(sorted(answer.code for answer in answers), [Code.OK] + 4 * [Code.CONFLICT], "the codes")
    with env.case("REGISTER does not log in"):
        connection = await env.connect()
        expect_code(await connection.answer("REGISTER", **env.registration()), Code.OK)
        expect_code(await connection.answer("MSG_SYNC"), Code.NOT_LOGGED_IN)
    await _names(env)
    await _at_the_limits(env)


async def _names(env):
    reader = await env.session(await env.user())
    stem = env.new_name()
    names = [f"{stem}.UPPER_and-lower.9", f"_{stem}"]
    names += [begin + stem for begin in ("ＡＤＡ", "ΑΛΦΑ", "Жук", "日本語", "אבג", "٣٤", "ﬁx", "e\u0301té")]
    with env.case("usernames of many scripts are reported in lower case and NFKC form, and found by other forms"):
        accounts = [await env.user(username=name) for name in names]
        answer = await reader.request("USER_GET", user_ids=[account.user_id for account in accounts])
        expect_equal([user.username for user in answer.users], [reported_form(name) for name in names], "usernames")
        for name in names:
            found = await reader.request("USER_FIND", query=name)
            expect_equal([user.username for user in found.users], [reported_form(name)], f"USER_FIND {name}")
    with env.case("CONFLICT: REGISTER of a taken name, also in another case or width"):
        for other in (stem + ".upper_AND-lower.9", "ada" + stem, "fix" + stem):
            expect_code(await env.answer_once("REGISTER", **env.registration(other)), Code.CONFLICT, other)
    with env.case("the nickname is kept; without one it is the username"):
        named, unnamed = await env.user(nickname=NICKNAME), await env.user()
        answer = await reader.request("USER_GET", user_ids=[named.user_id, unnamed.user_id])
        expect_equal([user.nickname for user in answer.users], [NICKNAME, unnamed.username], "nicknames")


async def _at_the_limits(env):
    with env.case("at the limits REGISTER is OK: username 64 bytes, password 512, nickname 128"):
        registration = env.registration(env.new_name().ljust(64, "z"), password="p" * 512, nickname="ñ" * 64)
        account = env.account_of(registration, await env.answer_once("REGISTER", **registration))
        expect_equal((await env.client(account)).login_response.nickname, "ñ" * 64, "the nickname")
    with env.case("at the limits REGISTER is OK: password 8 bytes"):
        await env.client(await env.user(password="éé1234"))


async def register_errors(env):
    stem = env.new_name()
    bad_request = {
        "no username": dict(username=""),
        "a space in the username": dict(username=stem + " x"),
        "an @ in the username": dict(username=stem + "@x"),
        "a control character in the username": dict(username=stem + "\x00"),
        "an emoji in the username": dict(username=stem + "😀"),
        "a username that begins with -": dict(username="-" + stem),
        "a username that begins with .": dict(username="." + stem),
        "a password of 7 bytes": dict(password="1234567"),
        "no password": dict(password=""),
        "a request_id of 15 bytes": dict(request_id=bytes(15)),
        "a request_id of 17 bytes": dict(request_id=bytes(17)),
        "no request_id": dict(request_id=b""),
        "a control character in the nickname": dict(nickname="a\nb"),
        "only spaces as the nickname": dict(nickname="   "),
    }
    too_large = {
        "a username of 65 bytes": dict(username=stem.ljust(65, "z")),
        "a password of 513 bytes": dict(password="p" * 513),
        "a nickname of 129 bytes": dict(nickname="n" * 129),
    }
    for code, variants in ((Code.BAD_REQUEST, bad_request), (Code.TOO_LARGE, too_large)):
        for what, fields in variants.items():
            with env.case(f"{code.name}: REGISTER with {what}"):
                fields = dict(env.registration(env.new_name()), **fields)
                expect_code(await env.answer_once("REGISTER", **fields), code)


async def users(env):
    accounts = await env.users(3)
    session = await env.session(accounts[0])
    ids = [account.user_id for account in accounts]
    with env.case("USER_GET answers in the order asked and leaves unknown ones out"):
        asked = [ids[2], env.no_user_id(), ids[0], 0, ids[1]]
        answer = await session.request("USER_GET", user_ids=asked)
        expect_equal([user.user_id for user in answer.users], [ids[2], ids[0], ids[1]], "ids")
        expect_equal([user.username for user in answer.users],
                     [accounts[index].username for index in (2, 0, 1)], "usernames")
    with env.case("USER_GET of 100 ids is OK"):
        answer = await session.request("USER_GET", user_ids=ids + [env.no_user_id() for _ in range(97)])
        expect_equal(len(answer.users), 3, "users")
    with env.case("TOO_LARGE: USER_GET of 101 ids"):
        expect_code(await session.answer("USER_GET", user_ids=[ids[0]] * 101), Code.TOO_LARGE)
    await _find(env, session, accounts)


async def _find(env, session, accounts):
    with env.case("USER_FIND finds the name itself and what begins with it, ascending, up to limit"):
        stem = f"{env.tag}x{uuid.uuid4().hex[:8]}"
        names = [stem, stem + "-", stem + "1", stem + "a", stem + "b"]
        for name in reversed(names):
            await env.user(username=name)
        found = [user.username for user in (await session.request("USER_FIND", query=stem)).users]
        expect_equal(found, sorted(names), "usernames")
        found = [user.username for user in (await session.request("USER_FIND", query=stem, limit=2)).users]
        expect_equal(found, sorted(names)[:2], "usernames with limit 2")
        found = [user.username for user in (await session.request("USER_FIND", query=stem.upper())).users]
        expect_equal(found, sorted(names), "usernames of the query in upper case")
    with env.case("USER_FIND of a name that nobody has is an empty list"):
        answer = await session.request("USER_FIND", query=accounts[0].username + "none")
        expect_equal(len(answer.users), 0, "users")
    with env.case("USER_FIND finds nicknames by their beginning in any case, usernames first"):
        nickname = f"{stem} % Ünal"
        await session.request("USER_UPDATE", nickname=nickname)
        for query, wanted in ((nickname.upper(), [accounts[0].username]), (stem, [*sorted(names), accounts[0].username]),
                              (f"{stem} %", [accounts[0].username]), (f"{stem}%", []), ("% Ünal", [])):
            found = [user.username for user in (await session.request("USER_FIND", query=query)).users]
            expect_equal(found, wanted, query)
    for what, query in {"empty": "", "with a line's end": "a\n", "with a change of direction": "a\u202eb"}.items():
        with env.case(f"BAD_REQUEST: USER_FIND with a query {what}"):
            expect_code(await session.answer("USER_FIND", query=query), Code.BAD_REQUEST)
    with env.case("USER_FIND with a query of 64 bytes is OK"):
        await session.request("USER_FIND", query=env.tag.ljust(64, "q"))
    with env.case("TOO_LARGE: USER_FIND with a query of 65 bytes"):
        expect_code(await session.answer("USER_FIND", query=env.tag.ljust(65, "q")), Code.TOO_LARGE)
