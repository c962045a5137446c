"""A TCP proxy between the agent and a broker that understands Kafka's frames enough to break one thing at a time.

cut(): every connection ends and new ones are refused. restore(). black_hole(True): bytes are swallowed, connections stay.
delay(seconds): every answer waits. hold_end_txn(seconds): the next EndTxn request (api key 26) waits alone, `held` counts them, and is
sent even when its client is gone by then, as a packet that was on its way. drop_end_txn_reply(): the next answer to an EndTxn request (api key 26) is dropped and its
connection cut; `dropped` counts them. With `frames=False` it passes on any bytes, for MQTT: deaf(True) swallows what the agent sends and lets
through what it is sent. Runs on its own thread.
"""
import asyncio
import struct
import threading

END_TXN = 26


class Link:
    """One client's connection and ours to the broker for it."""

    def __init__(self, client, broker):
        self.client, self.broker = client, broker
        self.end_txn = set()  # correlation ids of EndTxn requests that are not answered yet
        self.late = None      # the task that sends a held request


class Proxy:
    def __init__(self, port=0, frames=True):
        self.target = None
        self.frames = frames
        self.refuse = False
        self.swallow = self.swallow_requests = False
        self.wait = 0.0
        self.drop_replies = 0
        self.dropped = 0
        self.hold_seconds = 0.0
        self.held = 0
        self._writers = set()
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def listen():
            self._server = await asyncio.start_server(self._client, "127.0.0.1", port)
            self.port = self._server.sockets[0].getsockname()[1]
            ready.set()

        def run():
            asyncio.set_event_loop(self._loop)
            self._loop.create_task(listen())
            self._loop.run_forever()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        ready.wait()

    def _on_loop(self, what):
        done = threading.Event()

        def run():
            what()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(5)

    def _close_all(self):
        for writer in list(self._writers):
            writer.transport.abort()

    def cut(self):
        self.refuse = True
        self._on_loop(self._close_all)

    def restore(self):
        self.refuse = False
        self.swallow = False
        self.wait = 0.0

    def black_hole(self, on=True):
        self.swallow = on
        if not on:  # what was swallowed is gone: those connections cannot go on
            self._on_loop(self._close_all)

    def deaf(self, on=True):
        self.swallow_requests = on
        if not on:
            self._on_loop(self._close_all)

    def delay(self, seconds):
        self.wait = seconds

    def drop_end_txn_reply(self):
        self.drop_replies += 1

    def hold_end_txn(self, seconds):
        self.hold_seconds = seconds

    def close(self):
        def end():
            self._close_all()
            for task in asyncio.all_tasks(self._loop):
                task.cancel()
            self._loop.call_later(0.05, self._loop.stop)  # after they have ended

        self._loop.call_soon_threadsafe(end)
        self._thread.join(5)

    async def _client(self, reader, writer):
        if self.refuse or self.target is None:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        if self.refuse:  # cut while the broker took the connection
            writer.transport.abort()
            up_writer.transport.abort()
            return
        link = Link(writer, up_writer)
        self._writers.update((writer, up_writer))
        both = (self._requests(reader, link), self._answers(up_reader, link)) if self.frames else (self._bytes(reader, up_writer, True), self._bytes(up_reader, writer, False))
        tasks = [asyncio.ensure_future(each) for each in both]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self._writers.difference_update((writer, up_writer))
            writer.transport.abort()
            if link.late is None or link.late.done():
                up_writer.transport.abort()
            else:  # the request was on its way: it arrives although its client is gone
                link.late.add_done_callback(lambda _: up_writer.close())

    async def _deliver_late(self, link, frame, seconds):
        await asyncio.sleep(seconds)
        link.broker.write(frame)

    async def _bytes(self, reader, writer, requests):
        try:
            while data := await reader.read(65536):
                if self.swallow or (requests and self.swallow_requests):
                    continue
                writer.write(data)
                await writer.drain()
        except OSError:
            return

    async def _frame(self, reader):
        head = await reader.readexactly(4)
        body = await reader.readexactly(struct.unpack(">i", head)[0])
        return head, body

    async def _requests(self, reader, link):
        try:
            while True:
                head, body = await self._frame(reader)
                api_key, _, correlation = struct.unpack(">hhi", body[:8])
                if api_key == END_TXN:
                    link.end_txn.add(correlation)
                if self.swallow:
                    continue
                if api_key == END_TXN and self.hold_seconds > 0:
                    seconds, self.hold_seconds = self.hold_seconds, 0.0
                    self._writers.discard(link.broker)  # a cut does not take back what is on its way
                    link.late = asyncio.ensure_future(self._deliver_late(link, head + body, seconds))
                    self.held += 1
                    await asyncio.shield(link.late)
                    continue
                link.broker.write(head + body)
                await link.broker.drain()
        except (asyncio.IncompleteReadError, OSError):
            return

    async def _answers(self, reader, link):
        on_their_way = asyncio.Queue()  # each waits for itself: a long line, not a narrow one
        delivery = asyncio.ensure_future(self._deliver(on_their_way, link))
        try:
            while not delivery.done():
                frame = await self._frame(reader)
                on_their_way.put_nowait((asyncio.get_running_loop().time() + self.wait, frame))
        except (asyncio.IncompleteReadError, OSError):
            on_their_way.put_nowait(None)
            await delivery
        finally:
            delivery.cancel()

    async def _deliver(self, on_their_way, link):
        while (one := await on_their_way.get()) is not None:
            due, (head, body) = one
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            correlation = struct.unpack(">i", body[:4])[0]
            if correlation in link.end_txn:
                link.end_txn.discard(correlation)
                if self.drop_replies > 0:
                    self.drop_replies -= 1
                    self.dropped += 1
                    link.client.transport.abort()  # at once: the one that waits for it learns that it is lost
                    return
            if self.swallow:
                continue
            try:
                link.client.write(head + body)
                await link.client.drain()
            except OSError:
                return
