"""What aiokafka's defaults would do is not what is done: no auto-commit, one assignor, all replicas, no transactions."""

from __future__ import annotations

from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from inspector.bus.connect import consumer_client, producer_client
from inspector.settings.kafka import KafkaSettings


async def test_a_consumer_commits_nothing_by_itself_and_has_one_assignor_and_no_place_kept_for_it() -> None:
    kafka = KafkaSettings()
    consumer = consumer_client(kafka, group_id=kafka.group_id)
    try:
        assert consumer._enable_auto_commit is False
        assert consumer._auto_offset_reset == "earliest"
        assert consumer._partition_assignment_strategy == (RoundRobinPartitionAssignor,)
        assert consumer._group_instance_id is None
        assert consumer._session_timeout_ms < consumer._rebalance_timeout_ms < consumer._request_timeout_ms
        assert consumer._heartbeat_interval_ms * 3 <= consumer._session_timeout_ms
        assert consumer._fetch_max_wait_ms == 50
        assert consumer._isolation_level == "read_committed"
    finally:
        await consumer.stop()


async def test_a_producer_waits_for_all_replicas_and_knows_no_transactions() -> None:
    producer = producer_client(KafkaSettings(), max_request_size=12_345)
    try:
        assert producer._sender._acks == -1
        assert producer._txn_manager is not None, "idempotent"
        assert producer._txn_manager.transactional_id is None
        assert producer._max_request_size == 12_345
    finally:
        await producer.stop()
