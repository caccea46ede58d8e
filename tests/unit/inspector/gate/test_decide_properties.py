"""Whatever comes in whatever order: only what every camera called ok in time passes, and each part is acted on once."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Literal, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from inspector.gate.decide import Decision, Gate, Rules
from inspector.gate.evidence import MAX_RESULTS, Evidence, Finding, Seen, Verdict

CAMERAS = ("side", "top")
PARTS = ("p0", "p1", "p2")
VERDICTS: tuple[Verdict, ...] = ("ok", "ok", "ok", "ok", "nok", "error", "late", "expired", "future", "unreadable")
EPOCH_US = 1_700_000_000_000_000
MAX_AGE_S = 3.0
LEAD_S = 0.25
HEARTBEAT_S = 4.0


class Event(NamedTuple):
    kind: Literal["announce", "result", "beat", "wrong beat", "tick", "reset", "lost", "bus"]
    after_s: float
    part: str = ""
    camera: str = ""
    picture: int = 0
    verdict: Verdict = "ok"
    window_s: float = 0.0
    age_s: float = 0.0


after = st.sampled_from([0.0, 0.0, 0.1, 0.25, 0.5, 1.0])
events = st.one_of(
    st.builds(
        Event,
        kind=st.just("announce"),
        after_s=after,
        part=st.sampled_from(PARTS),
        window_s=st.sampled_from([0.1, 1.0, 2.0]),
    ),
    st.builds(
        Event,
        kind=st.just("result"),
        after_s=after,
        part=st.sampled_from(PARTS),
        camera=st.sampled_from([*CAMERAS, *CAMERAS, "stranger"]),
        picture=st.integers(0, 1),
        verdict=st.sampled_from(VERDICTS),
        age_s=st.sampled_from([0.0, 0.5, 5.0]),
    ),
    st.builds(Event, kind=st.just("beat"), after_s=after, camera=st.sampled_from(CAMERAS)),
    st.builds(
        Event, kind=st.sampled_from(["wrong beat", "reset", "lost", "bus"]), after_s=after, camera=st.just("top")
    ),
    st.builds(Event, kind=st.just("tick"), after_s=after),
)


def result_id(event: Event) -> str:
    return hashlib.md5(f"{event.part}/{event.camera}/{event.picture}".encode(), usedforsecurity=False).hexdigest()


class Run:
    """A gate, and an account of what happened that shares no code with it."""

    def __init__(self) -> None:
        rules = Rules(
            frozenset(CAMERAS),
            lead_s=LEAD_S,
            max_age_s=MAX_AGE_S,
            keep_s=1000.0,
            heartbeat_s=HEARTBEAT_S,
            fault_after=3,
        )
        self.now_s = 10.0
        self.gate = Gate(rules, now_us=self.now_us)
        self.made: list[Decision] = []
        self.taken: dict[str, tuple[float, float]] = {}
        self.history: list[tuple[float, Event]] = []
        self.faulty: list[float] = []
        """Times at which the gate was seen not to run."""

    @property
    def now_us(self) -> int:
        return EPOCH_US + round(self.now_s * 1e6)

    def start(self) -> None:
        self.gate.can_read(now_s=self.now_s, now_us=self.now_us)
        for camera in CAMERAS:
            self.gate.beat(camera, None, now_s=self.now_s)

    def play(self, event: Event) -> None:
        self.now_s += event.after_s
        self.collect()
        self.history.append((self.now_s, event))
        match event.kind:
            case "announce":
                refused = self.gate.announce(
                    event.part, event.window_s, source="plc", now_s=self.now_s, now_us=self.now_us
                )
                if refused is None:
                    self.taken[event.part] = (self.now_s, self.now_s + event.window_s)
            case "result":
                captured_at = self.now_us - round(event.age_s * 1e6)
                seen = Seen(event.camera, event.part, result_id(event), event.verdict, captured_at)
                self.gate.observe(seen, now_s=self.now_s, now_us=self.now_us)
            case "beat":
                self.gate.beat(event.camera, None, now_s=self.now_s)
            case "wrong beat":
                self.gate.beat(event.camera, "scores otherwise", now_s=self.now_s)
            case "reset":
                self.gate.reset(now_s=self.now_s, now_us=self.now_us)
            case "lost":
                self.gate.lost("plc")
            case "bus":
                self.gate.cannot_read("no broker")
                self.gate.can_read(now_s=self.now_s, now_us=self.now_us)
            case "tick":
                pass
        self.collect()

    def collect(self) -> None:
        self.made += self.gate.decisions(now_s=self.now_s)
        if self.gate.state != "running":
            self.faulty.append(self.now_s)

    def entitled(self, decision: Decision) -> bool:
        """Whether the part may pass, by all that happened."""
        announced_s, ends_s = self.taken[decision.part_id]
        decided_s = announced_s + decision.waited_s
        about = [(at_s, event) for at_s, event in self.history if event.part == decision.part_id and at_s <= decided_s]
        results = [(at_s, event) for at_s, event in about if event.kind == "result" and event.camera in CAMERAS]
        fresh = {
            event.camera
            for at_s, event in results
            if event.verdict == "ok" and at_s - event.age_s >= announced_s - MAX_AGE_S
        }
        undisturbed = not any(announced_s <= at_s < decided_s for at_s in self.faulty)
        announced_once = sum(event.kind == "announce" and at_s >= announced_s for at_s, event in about) == 1
        connected = not any(event.kind == "lost" and announced_s <= at_s < decided_s for at_s, event in self.history)
        all_ok = all(event.verdict == "ok" for _, event in results)
        return decided_s < ends_s and fresh == set(CAMERAS) and all_ok and undisturbed and announced_once and connected


@given(st.lists(events, max_size=60))
def test_only_what_all_cameras_called_ok_in_time_passes_and_each_part_is_acted_on_once(happened: list[Event]) -> None:
    run = Run()
    run.start()
    for event in happened:
        run.play(event)
    run.play(Event("tick", 100.0))
    acted = Counter(decision.part_id for decision in run.made)
    assert acted == Counter(run.taken.keys()), "each part that was taken exactly once"
    for decision in run.made:
        assert decision.passes == (decision.why == "ok")
        assert not decision.passes or run.entitled(decision), decision


@given(st.lists(events, max_size=40))
def test_nothing_passes_before_the_first_heartbeat_of_every_camera(happened: list[Event]) -> None:
    run = Run()
    run.gate.can_read(now_s=run.now_s, now_us=run.now_us)
    for event in happened:
        if event.kind not in {"beat", "wrong beat"} or event.camera == "top":
            run.play(event)
    run.play(Event("tick", 100.0))
    assert not any(decision.passes for decision in run.made)


@given(st.lists(st.tuples(st.sampled_from(CAMERAS), st.integers(0, 40), st.sampled_from(VERDICTS)), max_size=80))
def test_evidence_is_bounded_and_says_ok_only_if_nothing_contradicts(shown: list[tuple[str, int, Verdict]]) -> None:
    evidence = Evidence(0.0)
    for camera, picture, verdict in shown:
        evidence.add(Seen(camera, "p", f"{camera}-{picture}", verdict, 1))
    finding = evidence.finding(CAMERAS, not_before_us=0)
    if finding == Finding("ok"):
        assert {verdict for _, _, verdict in shown} == {"ok"} or all(
            (camera, picture) in {(c, p) for c, p, v in shown[:index] if v == "ok"}
            for index, (camera, picture, verdict) in enumerate(shown)
            if verdict != "ok"
        )
        assert {camera for camera, _, _ in shown} == set(CAMERAS)
    for camera in CAMERAS:
        assert len(evidence._results.get(camera, {})) <= MAX_RESULTS
