"""The chapter on anomaly detection as a program, in its order: `python -m tests.integration.chapter IMAGES OUT`.

It uses the public names of `trainer` and `inspector.anomaly` alone, and is run by `test_chapter.py`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from inspector.anomaly import (
    DLResult,
    DLSample,
    apply_dl_model,
    create_dl_preprocess_param,
    create_dl_preprocess_param_from_model,
    decode_image,
    gen_dl_samples_from_images,
    get_dl_model_param,
    preprocess_dl_samples,
    read_dl_model,
    read_dl_preprocess_param,
    set_dl_model_param,
    threshold_dl_anomaly_results,
    write_dl_model,
    write_dl_preprocess_param,
)
from trainer import (
    DLDataset,
    DLTrainResult,
    EvaluationResult,
    GenParamEval,
    ShownSample,
    compute_dl_anomaly_thresholds,
    create_dl_train_param,
    dev_display_dl_data,
    dev_display_dl_data_tiled,
    evaluate_dl_model,
    preprocess_dl_dataset,
    read_dl_dataset_anomaly,
    split_dl_dataset,
    train_dl_model,
    write_png,
)

EPOCHS = 40


@dataclass(frozen=True)
class Learnt:
    """What the first day leaves; the second needs the two files in `out` alone."""

    dataset: DLDataset
    result: DLTrainResult
    evaluation: EvaluationResult


def learn(images: Path, out: Path) -> Learnt:
    """'Preprocess the data', 'Training of the model' and 'Evaluation of the trained model'."""
    # The information content of the data set is converted, and split: all images with anomalies are test images.
    dataset = read_dl_dataset_anomaly(images)
    dataset = split_dl_dataset(dataset, 60, 20, seed=73, overwrite_split=True)

    # The network's requirements are asked of the model, which is read first.
    model = read_dl_model("initial_dl_anomaly_student")
    set_dl_model_param(model, "image_dimensions", (192, 256, 3))
    set_dl_model_param(model, "complexity", 8)
    width, height, channels = get_dl_model_param(model, "image_dimensions")

    # The parameters of the preprocessing are set, or taken from the model; the result is the same. They are kept for the inference.
    param = create_dl_preprocess_param(image_width=width, image_height=height)
    assert channels == param.image_num_channels
    assert param == create_dl_preprocess_param_from_model(model)
    write_dl_preprocess_param(out / "dl_preprocess_param.json", param)
    dataset = preprocess_dl_dataset(dataset, out / "samples", param)

    # The model is trained on images without anomalies.
    train_param = create_dl_train_param(model, max_num_epochs=EPOCHS, error_threshold=0.001, domain_ratio=0.5, seed=73)
    result = train_dl_model(dataset, model, train_param)

    # What influences the evaluation, then the thresholds, which the model has from then on, and what the test images say of both.
    trained = result.model
    set_dl_model_param(trained, "standard_deviation_factor", 3.0)
    set_dl_model_param(trained, "batch_size_multiplier", 4)  # without effect
    thresholds = compute_dl_anomaly_thresholds(trained, dataset, min_area=20)
    gen_param_eval = GenParamEval(measures="all", anomaly_classification_thresholds=(thresholds.classification,))
    evaluation = evaluate_dl_model(dataset, trained, "split", "test", gen_param_eval)
    write_dl_model(out / "model", trained)
    return Learnt(dataset, result, evaluation)


def inspect(files: list[Path], out: Path) -> list[tuple[DLSample, DLResult]]:
    """'Inference on new images', on another day, with the two files alone."""
    model, param = read_dl_model(out / "model"), read_dl_preprocess_param(out / "dl_preprocess_param.json")
    # A JPEG is decoded no larger than the model needs, here as in the training and in the service.
    target, margin = param.decode_target, param.decode_margin
    images = [decode_image(file.read_bytes(), target=target, margin=margin).image for file in files]
    samples = gen_dl_samples_from_images(images, image_ids=[str(file) for file in files])
    preprocess_dl_samples(samples, param)
    results = threshold_dl_anomaly_results(model, samples, apply_dl_model(model, samples))
    for file, sample, result in zip(files, samples, results, strict=True):
        for key, picture in dev_display_dl_data(sample, result).items():
            write_png(out / "pictures" / key / f"{file.stem}.png", picture)
    shown = [ShownSample(sample, result) for sample, result in zip(samples, results, strict=True)]
    write_png(out / "pictures" / "all.png", dev_display_dl_data_tiled(shown))
    return list(zip(samples, results, strict=True))


if __name__ == "__main__":
    images, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    learnt = learn(images, out)
    print(f"best error {learnt.result.best_error:.4f}, image AUROC {learnt.evaluation.image_auroc}")
    tested = [learnt.dataset.image_path(sample) for sample in learnt.dataset.samples if sample.split == "test"]
    for sample, result in inspect(tested[:5], out):
        print(f"{result.anomaly_class:>4} {result.anomaly_score:.3f} {sample.image_id}")
