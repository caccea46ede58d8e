"""A send of ours has an end, which one of aiokafka's idempotent producer has not; then the producer is replaced."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from inspector.bus import producer as producer_module
from inspector.bus.ports import ProducedRecord
from inspector.bus.producer import KafkaProducer
from inspector.errors import BusError, ConfigError, PartitionGoneError
from inspector.settings.kafka import KafkaSettings
from tests.virtual_time import run_virtually

RECORD = ProducedRecord("t", b"k", b"v", [])


class Inner:
    """An aiokafka producer whose sends are never acknowledged."""

    def __init__(self) -> None:
        self.partitions = {0, 1}
        self.stopped = False
        cluster = SimpleNamespace(partitions_for_topic=lambda _topic: self.partitions)
        self.client = SimpleNamespace(cluster=cluster)

    async def partitions_for(self, _topic: str) -> set[int]:
        return self.partitions

    def create_batch(self) -> Any:
        return SimpleNamespace(append=lambda **_fields: object(), close=lambda: None)

    async def send_batch(self, _batch: Any, _topic: str, *, partition: int) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().create_future()

    async def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Inner]:
    made: list[Inner] = []

    def make(*_arguments: Any, **_options: Any) -> Inner:
        made.append(Inner())
        return made[-1]

    async def start(_client: Any) -> None: ...

    monkeypatch.setattr(producer_module, "producer_client", make)
    monkeypatch.setattr(producer_module, "start_client", start)
    return made


def test_a_send_without_an_answer_ends_and_its_producer_is_replaced(made: list[Inner]) -> None:
    async def send() -> float:
        producer = KafkaProducer(KafkaSettings(), max_record_bytes=1000)
        await producer.start()
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(BusError, match="could not send to t"):
            await producer.send(("t", 1), [RECORD])
        taken_s = asyncio.get_running_loop().time() - began_s
        await asyncio.sleep(0)
        await producer.stop()
        return taken_s

    assert run_virtually(send()) == KafkaSettings().request_timeout_ms / 1000 + 5
    assert [inner.stopped for inner in made] == [True, True]


def test_a_send_to_a_partition_that_goes_meanwhile_is_given_up_at_once(made: list[Inner]) -> None:
    async def send() -> float:
        producer = KafkaProducer(KafkaSettings(), max_record_bytes=1000)
        await producer.start()
        loop = asyncio.get_running_loop()
        loop.call_later(3, lambda: made[0].partitions.discard(1))
        with pytest.raises(PartitionGoneError, match="topic t no longer has a partition 1"):
            await producer.send(("t", 1), [RECORD])
        assert len(made) == 2, "what it had begun would never end"
        made[1].partitions = {0}
        with pytest.raises(PartitionGoneError):
            await producer.send(("t", 1), [RECORD])
        taken_s = loop.time()
        await producer.stop()
        return taken_s

    assert run_virtually(send()) < 6


def test_partitions_that_fail_at_once_do_not_wait_for_each_others_new_producer(
    made: list[Inner], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send() -> float:
        producer = KafkaProducer(KafkaSettings(), max_record_bytes=1000)
        await producer.start()

        async def start_in_vain(_client: Any) -> None:
            await asyncio.sleep(10)
            raise KafkaConnectionError("no broker")

        monkeypatch.setattr(producer_module, "start_client", start_in_vain)
        outcomes = await asyncio.gather(
            *(producer.send(("t", number), [RECORD]) for number in (0, 1)), return_exceptions=True
        )
        assert all(isinstance(outcome, BusError) for outcome in outcomes)
        taken_s = asyncio.get_running_loop().time()
        await producer.stop()
        return taken_s

    assert run_virtually(send()) == KafkaSettings().request_timeout_ms / 1000 + 5 + 10
    assert len(made) == 2


def test_a_secret_that_is_being_replaced_is_read_again(made: list[Inner], monkeypatch: pytest.MonkeyPatch) -> None:
    async def send() -> None:
        producer = KafkaProducer(KafkaSettings(), max_record_bytes=1000)
        await producer.start()

        def read_in_vain(*_arguments: Any, **_options: Any) -> Inner:
            raise ConfigError("kafka.sasl_password_file: it is empty")

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(producer_module, "producer_client", read_in_vain)
            with pytest.raises(BusError, match="could not send to t"):
                await producer.send(("t", 1), [RECORD])
        with pytest.raises(BusError, match="could not send to t"):
            await producer.send(("t", 1), [RECORD])
        assert len(made) == 2, "the next failure has found the file whole"
        await producer.stop()

    run_virtually(send())


def test_the_longest_send_has_failed_before_a_watchdog_may_take_it_for_hanging(
    made: list[Inner], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its calls takes nearly all the time that it may, and the producer that is to replace this one neither starts nor stops."""
    kafka = KafkaSettings()
    nearly_s = kafka.call_s - 0.001

    async def slowly(outcome: Any) -> Any:
        await asyncio.sleep(nearly_s)
        return outcome

    async def start_in_vain(_client: Any) -> None:
        await asyncio.sleep(1000)

    async def stop_in_vain(_self: Inner) -> None:
        await asyncio.sleep(1000)

    async def close() -> None: ...

    async def send() -> float:
        producer = KafkaProducer(kafka, max_record_bytes=1000)
        await producer.start()
        monkeypatch.setattr(producer_module, "start_client", start_in_vain)
        monkeypatch.setattr(Inner, "partitions_for", lambda _self, _topic: slowly({0, 1}))
        never = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(Inner, "send_batch", lambda *_arguments, **_options: slowly(never))
        monkeypatch.setattr(Inner, "stop", stop_in_vain)
        monkeypatch.setattr(Inner, "_sender", SimpleNamespace(sender_task=None), raising=False)
        make = producer_module.producer_client  # type: ignore[attr-defined]

        def make_closable(*arguments: Any, **options: Any) -> Inner:
            inner: Inner = make(*arguments, **options)
            inner.client.close = close
            return inner

        monkeypatch.setattr(producer_module, "producer_client", make_closable)
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(BusError, match="could not send to t"):
            await producer.send(("t", 1), [RECORD])
        return asyncio.get_running_loop().time() - began_s

    taken_s = run_virtually(send())
    assert kafka.longest_send_s - 0.01 < taken_s < kafka.longest_send_s
    assert len(made) == 2
