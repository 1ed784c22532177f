"""Draw the curves and pictures of docs/results.md from a run and its evaluation.

    python docs/figures/make_training_figures.py out/simulated_training_set/run out/simulated_training_set/evaluation
"""

import sys
from pathlib import Path

import cv2

from olatkit.capture.plots import BLUE, GREEN, GREY, ORANGE, Limit, Series, plot
from olatkit.learn.logbook import read_metrics

HERE = Path(__file__).parent
LOSSES = {"basic": BLUE, "parsing": GREEN, "temporal": ORANGE, "latent": GREY}


def curves(run: Path) -> dict[str, str]:
    """Quality on training pictures and on unseen people, and the losses, as SVG by file name."""
    rows = read_metrics(run / "metrics.csv")
    checked = [row for row in rows if "val_psnr" in row]
    quality = [
        Series([row["step"] for row in rows], [row["psnr"] for row in rows], "training pictures", GREY),
        Series([row["step"] for row in checked], [row["val_psnr"] for row in checked], "unseen people and light", BLUE),
    ]
    copied = Limit(checked[-1]["val_copy_psnr"], "unchanged input")
    losses = [
        Series([row["step"] for row in rows if name in row], [row[name] for row in rows if name in row], name, color)
        for name, color in LOSSES.items() if any(name in row for row in rows)
    ]
    return {
        "training_psnr.svg": plot(quality, x_label="step", y_label="PSNR [dB]", limits=[copied], size=(720, 300)),
        "training_losses.svg": plot(
            losses, x_label="step", y_label="loss", y_range=(0, None), size=(720, 260)
        ),
    }


if __name__ == "__main__":
    run, evaluation = (Path(argument) for argument in sys.argv[1:3])
    for name, text in curves(run).items():
        (HERE / name).write_text(text + "\n", encoding="utf-8")
        print(HERE / name)
    sheet = cv2.imread(str(evaluation / "pictures.png"))
    cv2.imwrite(str(HERE / "relit_people.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(HERE / "relit_people.jpg")
