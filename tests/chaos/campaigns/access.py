"""Who comes in and who does not: certificates, host names, passwords and rights on Apache Kafka, tried by the product's own commands.

That nobody but an inspector can write a result is tried by plain aiokafka.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from deploy.local.base import BrokerStartError
from deploy.local.broker import kafka_home
from tests.chaos.campaign import Campaign, Context, SkipCampaign
from tests.chaos.reading import read_topics
from tests.e2e.processes import CHECKOUT
from tests.secure import REFUSED, Door, SecureBroker, running_secure_broker, shown, wrong

ROLES = ("camera", "inspector", "gate", "dashboard", "admin")
PREFIX = "chaos-access"
RESULTS = f"{PREFIX}.results"
END_S = 240.0
SEND_S = 30.0


class Ended(NamedTuple):
    """What a command came to."""

    status: int
    text: str


async def run(context: Context) -> None:
    """Try every door rightly and wrongly, then every role where it has no business."""
    home = kafka_home()
    if home is None:
        raise SkipCampaign("no Apache Kafka: set KAFKA_HOME to a folder made with deploy/local/pom.xml")
    folder = context.folder / "secure"
    folder.mkdir()
    try:
        with running_secure_broker(home, folder, ROLES) as broker:
            access = Access(context, broker)
            await access.set_up()
            await access.try_right_doors()
            await access.try_wrong_doors()
            await access.try_to_write_results()
            access.look_for_secrets()
    except BrokerStartError as exc:
        raise SkipCampaign(str(exc)) from exc


class Access:
    """The attempts of one run, and what all commands said."""

    def __init__(self, context: Context, broker: SecureBroker) -> None:
        self._context = context
        self._broker = broker
        self._said: list[str] = []
        self._files = 0
        self._few = asyncio.Semaphore(os.cpu_count() or 1)

    async def set_up(self) -> None:
        """Make the topics and grant the rights as an operator does."""
        owner = self._settings(self._broker.kafka(None))
        for words in (["topics", "apply", "--replication", "auto"], ["topics", "acls", "--grant"]):
            ended = await self._command([*words, "--config", str(owner)])
            if ended.status:
                raise RuntimeError(f"{' '.join(words)} ended with {ended.status}: {ended.text[-500:]}")

    async def try_right_doors(self) -> None:
        """The inspector comes in, and has its rights, at each door that it may use."""
        broker = self._broker
        ways: list[tuple[Door, dict[str, Any]]] = [
            (door, {"sasl_mechanism": f"SCRAM-SHA-{bits}"}) for door in ("sasl", "sasltls") for bits in (256, 512)
        ]
        ways += [("mtls", shown(broker.client("inspector")))]
        ended = await asyncio.gather(*(self._check(broker.kafka("inspector", door, **more)) for door, more in ways))
        kept_out = [f"{way}: {end.text[-300:]}" for way, end in zip(ways, ended, strict=True) if end.status]
        self._context.row(
            "who has certificate, password and rights comes in",
            trials=len(ways),
            figure=f"{len(ways) - len(kept_out)} of {len(ways)}",
            held=not kept_out,
            kept_out=kept_out,
        )

    async def try_wrong_doors(self) -> None:
        """`config --check --connect` names what is wrong, and the service ends with it instead of trying on."""
        doors = self._chosen("doors")
        ended = await asyncio.gather(*(self._check(self._wrongly(case, door)) for case, door, _ in doors))
        let_in = [
            f"{case}: status {end.status}: {end.text[-300:]}"
            for (case, _, sentence), end in zip(doors, ended, strict=True)
            if end.status == 0 or sentence not in end.text or "Traceback" in end.text
        ]
        self._context.row(
            "config --check --connect refuses a wrong door with its own sentence",
            trials=len(doors),
            figure=f"{len(doors) - len(let_in)} of {len(doors)}",
            held=not let_in,
            let_in=let_in,
        )
        runs = self._chosen("runs")
        ended = await asyncio.gather(*(self._run(self._wrongly(case, door)) for case, door, _ in runs))
        lived = [
            f"{case}: status {end.status}: {end.text[-300:]}"
            for (case, _, sentence), end in zip(runs, ended, strict=True)
            if ((end.status, sentence in end.text) != (1, True) and not _was_seen_here(case, end))
            or "Traceback" in end.text
        ]
        self._context.row(
            "inspector run ends at a wrong door, with the sentence and its status",
            trials=len(runs),
            figure=f"{len(runs) - len(lived)} of {len(runs)}",
            held=not lived if runs else None,
            lived=lived,
        )

    def _chosen(self, count: str) -> list[tuple[str, Door, str]]:
        return self._context.rng.sample(list(REFUSED), min(len(REFUSED), self._context.counts[count]))

    def _wrongly(self, case: str, door: Door) -> dict[str, Any]:
        return self._broker.kafka(None, door, **wrong(self._broker, case))

    async def try_to_write_results(self) -> None:
        """Each other role forges a passing result, as often as asked for."""
        forgers = [role for role in ROLES if role != "inspector"]
        forged: list[str] = []
        for _ in range(self._context.counts["forgeries"]):
            forged += [role for role in forgers if await self._forges(role)]
        own = await self._forges("inspector")
        found = await read_topics(self._broker.address("plain"), RESULTS)
        trials = len(forgers) * self._context.counts["forgeries"]
        self._context.row(
            "nobody but an inspector writes a result (the inspector can)",
            trials=trials,
            figure=f"{len(forged)} forged of {trials}, {len(found)} records in the topic",
            held=own and not forged and len(found) == 1,
            forged=forged,
        )

    async def _forges(self, role: str) -> bool:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._broker.address("sasltls"),
            security_protocol="SASL_SSL",
            ssl_context=ssl.create_default_context(cafile=str(self._broker.authority.file)),
            sasl_mechanism="SCRAM-SHA-512",
            sasl_plain_username=role,
            sasl_plain_password=self._broker.secret_of(role),
            enable_idempotence=False,
            acks="all",
        )
        try:
            await producer.start()
            async with asyncio.timeout(SEND_S):
                await producer.send_and_wait(RESULTS, b"forged", b"line/a", partition=0)
        except TopicAuthorizationFailedError:
            return False
        finally:
            await producer.stop()
        return True

    def look_for_secrets(self) -> None:
        """No password in anything that was printed."""
        secrets = [self._broker.secret_of(role) for role in ROLES] + ["canary-secret"]
        shown_in = [text[:200] for text in self._said if any(secret in text for secret in secrets)]
        self._context.row(
            "no command prints a password",
            trials=len(self._said),
            figure=f"{len(shown_in)} of {len(self._said)} outputs hold one",
            held=not shown_in,
        )

    async def _check(self, kafka: dict[str, Any]) -> Ended:
        return await self._command(["config", "--check", str(self._settings(kafka)), "--connect"])

    async def _run(self, kafka: dict[str, Any]) -> Ended:
        model = f'[models]\nm = "{self._context.bundle()}"\n'
        camera = '[[cameras]]\nline_id = "line"\ncamera_id = "a"\nmodel = "m"\n'
        return await self._command(["run", "--config", str(self._settings(kafka, model + camera))])

    def _settings(self, kafka: dict[str, Any], more: str = "") -> Path:
        self._files += 1
        path = self._context.folder / f"{self._files:02d}.toml"
        lines = [f'{key} = "{value}"\n' for key, value in kafka.items() if value is not None]
        path.write_text(f'[kafka]\n{"".join(lines)}[topics]\nprefix = "{PREFIX}"\n[http]\nport = 0\n{more}')
        return path

    async def _command(self, words: list[str]) -> Ended:
        flaws = ["--mutation", self._context.mutation] if self._context.mutation else []
        async with self._few:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.chaos.launcher", *flaws, "--", *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                cwd=CHECKOUT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            try:
                async with asyncio.timeout(END_S):
                    output, _ = await process.communicate()
            except TimeoutError:
                process.kill()
                output, _ = await process.communicate()
        text = output.decode(errors="replace")
        self._said.append(text)
        return Ended(process.returncode or 0, text)


def _was_seen_here(case: str, end: Ended) -> bool:
    """Whether the service did not even go to the door: it reads the date of its own certificate."""
    return case == "expired certificate" and end.status == 2 and "has expired on" in end.text


CAMPAIGN = Campaign(
    name="access",
    summary="certificates, host names, passwords and rights: each wrong one is refused with its sentence",
    full={"doors": len(REFUSED), "runs": len(REFUSED), "forgeries": 20},
    smoke={"doors": 4, "runs": 1, "forgeries": 1},
    run=run,
    mutations={
        "host_names_unchecked": "config --check --connect refuses a wrong door",
        "gate_may_write": "nobody but an inspector writes a result",
    },
    mutated={"doors": len(REFUSED), "runs": 0, "forgeries": 1},
)
