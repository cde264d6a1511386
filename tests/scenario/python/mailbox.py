"""The mailbox of one device, kept by the client's rule (PROTOCOL.md, section 5)."""

import asyncio

from connection import wait

GAP_WAIT = 0.1


class Mailbox:
    def __init__(self, fetch_page):
        self.local = 0  # the highest seq that was applied
        self.head = 0  # the highest seq that the server named
        self.entries = {}  # what was applied, by seq
        self.synced_pages = 0
        self._fetch_page = fetch_page  # async: after_seq -> MsgSyncResp
        self._kept = {}
        self._timer = None
        self._syncing = None
        self._waiters = []
        self.failure = None

    def start_at(self, head):
        """Rule 6: what was known is forgotten."""
        self.entries.clear()
        self._kept.clear()
        self.local = self.head = head

    def add(self, entry):
        """Rules 1 to 3. `entry` may also be an own send, as its answer described it (rule 5)."""
        self.head = max(self.head, entry.seq)
        if entry.seq > self.local:
            self._kept.setdefault(entry.seq, entry)
        self._apply_kept()
        self._watch_gap()

    def see_head(self, head):
        """Rule 4."""
        self.head = max(self.head, head)
        self._watch_gap()

    def _apply_kept(self):
        while self.local + 1 in self._kept:
            self.local += 1
            self.entries[self.local] = self._kept.pop(self.local)
        for seq in [seq for seq in self._kept if seq <= self.local]:
            del self._kept[seq]
        self.tell_waiters()

    def tell_waiters(self):
        for waiter in list(self._waiters):
            self._try(waiter)

    def _watch_gap(self):
        if self.head > self.local and self._timer is None and not self._is_syncing():
            self._timer = asyncio.get_running_loop().call_later(GAP_WAIT, self._gap_waited)

    def _gap_waited(self):
        self._timer = None
        if self.head > self.local:
            self.start_sync()

    def _is_syncing(self):
        return self._syncing is not None and not self._syncing.done()

    def start_sync(self):
        if not self._is_syncing():
            self._syncing = asyncio.ensure_future(self._sync())
        return self._syncing

    async def _sync(self):
        while self.local < self.head:
            page = await self._fetch_page(self.local)
            if page is None:
                return  # no connection: the next login starts anew
            self.synced_pages += 1
            if not page.entries:
                self.failure = f"MSG_SYNC after {self.local} is empty, the head is said to be {page.head}"
                return
            self.head = max(self.head, page.head)
            for entry in page.entries:
                if entry.seq > self.local:
                    self._kept[entry.seq] = entry
            self._apply_kept()

    # ------------------------------------------------------------ waiting

    def _try(self, waiter):
        condition, future = waiter
        result = None if future.done() else condition()
        if future.done() or result:
            self._waiters.remove(waiter)
            if not future.done():
                future.set_result(result)

    async def until(self, condition, what):
        """Waits for `condition()` to be true; it is asked again after each entry that is applied."""
        waiter = (condition, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._try(waiter)
        try:
            return await wait(waiter[1], what)
        except TimeoutError:
            raise TimeoutError(f"{what}: not within the time; local {self.local}, head {self.head}, "
                               f"kept {sorted(self._kept)[:5]}, {self.failure or 'no failed sync'}") from None

    async def until_local(self, seq):
        await self.until(lambda: self.local >= seq, f"entry {seq}")

    async def until_entry(self, predicate, what="an entry"):
        return await self.until(lambda: next(filter(predicate, self.entries.values()), None), what)

    async def until_message(self, msg_id):
        return await self.until_entry(lambda entry: entry.msg_id == msg_id, f"message {msg_id}")
