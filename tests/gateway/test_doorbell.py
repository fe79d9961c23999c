"""The Redis adapter: confirmed subscriptions, and trouble that has one name."""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator

import pytest
import redis

from actors.doorbell import DoorbellAway, DoorbellPublisher, DoorbellSubscriber
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.anyio


class Ear:
    """A running subscriber and what it heard."""

    def __init__(self, url: str, **options) -> None:
        self.rings: list[tuple[str, str]] = []
        self.ups = self.downs = 0
        self.subscriber = DoorbellSubscriber(
            url,
            on_ring=lambda channel, text: self.rings.append((channel, text)),
            on_up=self._up,
            on_down=self._down,
            **{"backoff_max_s": 0.1, **options},
        )

    def _up(self) -> None:
        self.ups += 1

    def _down(self) -> None:
        self.downs += 1

    def has(self, text: str) -> bool:
        return any(heard == text for _, heard in self.rings)

    def heard(self, *texts: str) -> bool:
        return [text for _, text in self.rings] == list(texts)


@contextlib.asynccontextmanager
async def listening(url: str, **options) -> AsyncIterator[Ear]:
    ear = Ear(url, **options)
    task = asyncio.create_task(ear.subscriber.run())
    try:
        yield ear
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def publisher(redis_url):
    publisher = DoorbellPublisher(redis_url, timeout_s=1.0)
    yield publisher
    publisher.close()


async def test_what_is_published_after_the_confirmation_is_heard(redis_url, publisher):
    async with listening(redis_url) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        assert await ear.subscriber.subscribe("a")
        publisher.publish([("a", "1"), ("b", "x"), ("a", b"2")])
        await wait_until_async(lambda: ear.heard("1", "2"))


async def test_a_wish_before_the_connection_is_kept(redis_url, publisher):
    ear = Ear(redis_url)
    assert await ear.subscriber.subscribe("a") is False
    task = asyncio.create_task(ear.subscriber.run())
    await wait_until_async(lambda: ear.ups == 1)
    publisher.publish([("a", "1")])
    await wait_until_async(lambda: ear.heard("1"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_last_to_leave_ends_the_subscription(redis_url, publisher):
    async with listening(redis_url) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        for _ in range(2):
            await ear.subscriber.subscribe("a")
        await ear.subscriber.subscribe("b")
        ear.subscriber.unsubscribe("a")
        publisher.publish([("a", "1")])
        await wait_until_async(lambda: ear.heard("1"))
        ear.subscriber.unsubscribe("a")
        await wait_until_async(lambda: ear.subscriber.channels == 1)
        await wait_until_async(lambda: subscribers(redis_url, "a") == 0)
        publisher.publish([("a", "2"), ("b", "3")])
        await wait_until_async(lambda: ear.heard("1", "3"))


def subscribers(redis_url: str, channel: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return int(dict(client.pubsub_numsub(channel))[channel.encode()])


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(redis_url):
    publisher = DoorbellPublisher(redis_url, timeout_s=0.2)
    with redis.Redis.from_url(redis_url) as client:
        client.client_pause(400, all=False)
        with pytest.raises(DoorbellAway):
            publisher.publish([("a", "1"), ("b", "2")])
        client.client_unpause()
        publisher.publish([("a", "3")])
        publisher.ping()
    publisher.close()


async def test_a_connection_that_redis_closed_meanwhile_is_made_again_without_a_word(redis_url, publisher):
    async with listening(redis_url) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        assert await ear.subscriber.subscribe("a")
        publisher.publish([("a", "1")])
        with redis.Redis.from_url(redis_url) as admin:
            admin.client_kill_filter(_type="normal", skipme=True)
        publisher.publish([("a", "2")])
        await wait_until_async(lambda: ear.heard("1", "2"))


def test_a_refused_message_is_said_and_the_next_one_arrives(redis_url):
    publisher = DoorbellPublisher(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "default", "resetchannels")
        try:
            with pytest.raises(DoorbellAway, match="channel"):
                publisher.publish([("a", "1"), ("b", "2")])
        finally:
            client.execute_command("ACL", "SETUSER", "default", "allchannels")
        publisher.publish([("a", "3")])
    publisher.close()


@pytest.mark.parametrize("seed", range(3))
async def test_coming_and_going_at_random_a_confirmed_wish_hears_everything(redis_url, publisher, seed):
    rng = random.Random(seed)
    async with listening(redis_url, rng=rng) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        expected: list[str] = []

        async def come_and_go(number: int) -> None:
            for turn in range(10):
                channel = f"c{rng.randrange(6)}"
                assert await ear.subscriber.subscribe(channel)
                text = f"{number}.{turn}"
                expected.append(text)
                await asyncio.to_thread(publisher_of[number].publish, [(channel, text)])
                await wait_until_async(functools.partial(ear.has, text))
                ear.subscriber.unsubscribe(channel)
                if rng.random() < 0.5:
                    await asyncio.sleep(0)

        publisher_of = [DoorbellPublisher(redis_url) for _ in range(6)]
        await asyncio.gather(*(come_and_go(number) for number in range(6)))
        for each in publisher_of:
            each.close()
        assert sorted(text for _, text in ear.rings) == sorted(expected)
        await wait_until_async(lambda: ear.subscriber.channels == 0)


async def test_a_storm_of_wishes_is_confirmed(redis_url):
    async with listening(redis_url) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        confirmed = await asyncio.gather(*(ear.subscriber.subscribe(f"s{n}") for n in range(5000)))
        assert all(confirmed)
        assert ear.subscriber.channels == 5000


async def test_a_broken_connection_is_made_again_with_every_channel(redis_proxy, redis_url, publisher):
    async with listening(redis_proxy.url(redis_url)) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        for n in range(1500):
            await ear.subscriber.subscribe(f"s{n}")
        redis_proxy.reset()
        await wait_until_async(lambda: (ear.downs, ear.ups) == (1, 2))
        publisher.publish([("s0", "first"), ("s1499", "last")])
        await wait_until_async(lambda: ear.heard("first", "last"))


async def test_a_killed_pubsub_client_comes_back(redis_url, publisher):
    async with listening(redis_url) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        await ear.subscriber.subscribe("a")
        with redis.Redis.from_url(redis_url) as client:
            client.client_kill_filter(_type="pubsub")
        await wait_until_async(lambda: ear.ups == 2)
        publisher.publish([("a", "1")])
        await wait_until_async(lambda: ear.heard("1"))


async def test_a_server_that_says_nothing_is_given_up(redis_proxy, redis_url):
    async with listening(redis_proxy.url(redis_url), silence_s=0.2, timeout_s=0.3) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        redis_proxy.stall()
        await wait_until_async(lambda: ear.downs == 1, timeout_s=3)
        assert await ear.subscriber.subscribe("late") is False
        redis_proxy.resume()
        await wait_until_async(lambda: ear.ups == 2)


async def test_a_quiet_server_is_not_given_up(redis_url):
    async with listening(redis_url, silence_s=0.1) as ear:
        await wait_until_async(lambda: ear.subscriber.up)
        heard_at = ear.subscriber._heard_at
        await wait_until_async(lambda: ear.subscriber._heard_at > heard_at + 0.5)
        assert ear.downs == 0


@pytest.mark.parametrize("fault", ["stop", "stall"])
async def test_publishing_in_vain_has_one_name_and_ends_in_time(redis_proxy, redis_url, fault):
    publisher = DoorbellPublisher(redis_proxy.url(redis_url), timeout_s=0.3)
    publisher.publish([("a", "1")])
    publisher.ping()
    getattr(redis_proxy, fault)()
    with pytest.raises(DoorbellAway):
        publisher.publish([("a", "2")])
    with pytest.raises(DoorbellAway):
        publisher.ping()
    redis_proxy.start()
    await wait_until_async(lambda: _works(publisher))
    publisher.close()


def _works(publisher: DoorbellPublisher) -> bool:
    with contextlib.suppress(DoorbellAway):
        publisher.publish([("a", "3")])
        return True
    return False


async def test_nothing_to_publish_needs_no_redis():
    publisher = DoorbellPublisher("redis://127.0.0.1:1")
    publisher.publish([])
    publisher.close()
