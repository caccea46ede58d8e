"""Turns the settings into a gate with its ports."""

from __future__ import annotations

from collections.abc import Sequence

from inspector.errors import ConfigError
from inspector.gate.ports.modbus import ModbusPort
from inspector.gate.ports.tcp import TcpPort
from inspector.gate.process import GateProcess, Port, Watcher
from inspector.settings.settings import Settings


def make_gate_process(settings: Settings, *, watchers: Sequence[Watcher] = ()) -> GateProcess:
    """Return a gate that reads Kafka and serves the ports of the settings.

    Raises:
        ConfigError: No line is named, no camera of it, or no port.
        ModuleNotFoundError: A Modbus port is wanted, and pymodbus is not there.
    """
    gate = settings.gate
    ports: list[Port] = []
    if gate.tcp_port is not None:
        ports.append(TcpPort(gate.host, gate.tcp_port))
    if gate.modbus_port is not None:
        import pymodbus  # noqa: F401, PLC0415 refused now, not when the line waits

        ports.append(ModbusPort(gate.host, gate.modbus_port, gate.modbus_part_id))
    if not ports:
        raise ConfigError(
            "neither gate.tcp_port nor gate.modbus_port is set, so no line can connect to the gate; set one"
        )
    return GateProcess(settings, ports, watchers=watchers)
