"""The command compare: reads what both models said, pairs it, finds pictures of the differences, writes the page."""

from __future__ import annotations

from pathlib import Path

from inspector.releases.desk import Desk
from inspector.releases.trial import TrialReader
from trainer.archives.opened import open_archive
from trainer.compare.output import write_comparison
from trainer.compare.pairing import Pairing
from trainer.compare.pictures import ShownPair, bring_archived, draw_archived, draw_frame
from trainer.compare.result import CompareResult
from trainer.errors import DatasetError
from trainer.settings.release import CompareSettings


def run_compare(settings: CompareSettings) -> CompareResult:
    """Compare, and write files where a folder is given.

    Raises:
        DatasetError: There is nothing to compare, or no archive.
        OutputError: A file cannot be written.
        InspectorError: The settings are wrong, or the brokers refuse.
    """
    if isinstance(settings.archive, Path) and not settings.archive.is_dir():
        raise DatasetError(f"{settings.archive} does not exist; give the archive's root to --archive")
    desk = Desk(settings.config, bootstrap=settings.bootstrap)
    (camera,) = desk.cameras([settings.camera])
    trial = TrialReader(desk.settings, camera, settings.window_us)
    pairing = Pairing(settings.camera, settings.model)
    trial.read_shadow(pairing.add_shadow)
    trial.read_verdicts(pairing.add_result, first_us=pairing.first_us)
    result = pairing.result()
    if settings.out is not None:
        write_comparison(result, _shown(settings, trial, result), settings.out)
    return result


def _shown(settings: CompareSettings, trial: TrialReader, result: CompareResult) -> list[ShownPair]:
    """Draw the frames that differ most."""
    pairs = result.differences[: settings.pictures]
    if settings.archive is not None:
        archive = open_archive(settings.archive, settings.archive_cache, settings.config)
        bring_archived(archive, settings.camera, pairs)
        return [draw_archived(archive.root, settings.camera, pair) for pair in pairs]
    frames = trial.read_frames([pair.source for pair in pairs]) if pairs else {}
    return [draw_frame(frames.get(pair.source), pair) for pair in pairs]
