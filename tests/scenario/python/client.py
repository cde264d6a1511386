#!/usr/bin/env python3
"""A client of the Aldis protocol, written from PROTOCOL.md and client.proto alone, and its checks.

    client.py HOST PORT [--seed N] [--only WORD]

Exits 0 if the server does what the specification says, else 1. Needs Python 3.9, the package
`protobuf`, and `grpcio-tools` or protoc to compile client.proto.
"""

import argparse
import asyncio
import random
import secrets
import sys
import time

import check_accounts
import check_changes
import check_conversations
import check_frames
import check_friends
import check_group_admin
import check_groups
import check_messages
import check_people
import check_search
import check_sessions
import check_told
from harness import Env, Report

CHECKS = (
    check_accounts.registering, check_accounts.register_errors, check_accounts.users,
    check_sessions.logging_in, check_sessions.login_errors, check_sessions.tokens,
    check_sessions.one_session_per_class, check_sessions.logout, check_sessions.heartbeat,
    check_messages.client_rule, check_messages.contents, check_messages.pushes, check_messages.sync,
    check_messages.history, check_messages.resending, check_messages.delivered, check_messages.send_errors,
    check_messages.read_errors, check_messages.slow_reader, check_changes.changes,
    check_changes.references, check_told.typing, check_told.receipts,
    check_people.presence, check_people.profiles, check_people.devices,
    check_conversations.lists, check_conversations.reactions, check_conversations.pins,
    check_search.search,
    check_groups.life, check_groups.visibility, check_groups.repeats, check_groups.group_errors,
    check_groups.lists, check_groups.limits,
    check_group_admin.administration, check_group_admin.administration_errors,
    check_friends.friendship, check_friends.friend_errors,
    check_frames.frames, check_frames.pipelining, check_frames.waiting_frames, check_frames.half_close,
)
# These mostly wait; they run beside the others.
SLOW_CHECKS = (check_frames.time_limits, check_sessions.rate_limit)

NOT_CHECKED = (
    "UNAVAILABLE, INTERNAL: only a fault of the server or its store causes them",
    "BUSY: only a lack of room in the server causes it; it is obeyed where it comes",
    "TOKEN_EXPIRED: a token lives longer than this run",
    "RESYNC by another store_epoch, KICK_NOTIFY with DISABLED, GOAWAY_NOTIFY: the operator causes them",
    "the end of a connection that is silent for two and a half heartbeat intervals: too long for this run",
)


async def run(arguments):
    report = Report()
    env = Env(arguments.host, arguments.port, random.Random(arguments.seed), report)
    if not env.is_loopback:
        print("      REGISTER slows down after 20 users from another host: this run takes long")
    await env.choose_tag()
    slow = [asyncio.ensure_future(_run_one(env, check)) for check in _chosen(SLOW_CHECKS, arguments.only)]
    for check in _chosen(CHECKS, arguments.only):
        await _run_one(env, check)
    await asyncio.gather(*slow)
    await env.close()
    for text in NOT_CHECKED:
        print(f"      not checked: {text}")
    if not env.was_register_limited:
        print("      not checked: REGISTER answered RATE_LIMITED: never so on loopback, else after 20 users")
    return report


def _chosen(checks, word):
    return [check for check in checks if word in f"{check.__module__}.{check.__name__}"]


async def _run_one(env, check):
    try:
        await check(env)
    except Exception as error:  # what a group of checks needs first has failed
        env.report.add(f"{check.__module__}.{check.__name__} could not go on", error)


def main():
    parser = argparse.ArgumentParser(description="Checks a server against the specification of the protocol.")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--seed", type=int, default=None, help="names and choices of an earlier run")
    parser.add_argument("--only", default="", help="only checks whose module and name contain this")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = secrets.randbelow(1 << 31)
    print(f"seed {arguments.seed}", flush=True)
    begin = time.monotonic()
    try:
        report = asyncio.run(run(arguments))
    except Exception as error:
        print(f"The run could not begin: {type(error).__name__}: {error}")
        return 1
    print(f"took {time.monotonic() - begin:.1f} s")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
