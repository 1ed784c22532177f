"""What an evaluation writes: a table to read, all scores, and a sheet of pictures."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from olatkit.evaluate.pictures import Pictures
from olatkit.evaluate.relighting import COPY, MEAN, NETWORK, Score, Summary
from olatkit.io.images import write_png
from olatkit.io.outputs import refuse_existing, whole_file
from olatkit.render.pictures import contact_sheet

FILES = ("scores.csv", "table.md", "pictures.png")
# Pictures of fewer pixels are enlarged to about this side.
_SMALLEST = 128


class PictureSheet:
    """Collects evenly spread light pairs of an evaluation: input, target, network, mean image, difference.

    What a network and the mean picture have behind the subject means nothing: they are shown before the target's background.
    """

    COLUMNS = ("input (copy)", "target", "network", "4x difference", "mean image")

    def __init__(self, rows: int, total: int) -> None:
        self._wanted = set(np.linspace(0, total - 1, min(rows, total)).round().astype(int).tolist())
        self._seen, self._pictures = 0, list[np.ndarray]()

    def look(self, pictures: Pictures, made: Mapping[str, Tensor]) -> None:
        """Take the pairs that are on the sheet."""
        for pair in range(len(pictures.source)):
            if self._seen in self._wanted:
                target, mask = pictures.target[pair], pictures.mask[pair]
                relit, mean = (torch.where(mask > 0, made[name][pair].clamp(0, 1), target) for name in (NETWORK, MEAN))
                row = (made[COPY][pair], target, relit, 4 * (relit - target).abs(), mean)
                self._pictures += [_bytes(picture) for picture in row]
            self._seen += 1

    def draw(self) -> np.ndarray:
        """The sheet, (H, W, 3) uint8."""
        labels = [*self.COLUMNS, *[""] * (len(self._pictures) - len(self.COLUMNS))]
        return contact_sheet(self._pictures, len(self.COLUMNS), labels)


def format_table(summaries: Sequence[Summary], facts: Mapping[str, object]) -> str:
    """Markdown: a row per method, mean ± sd over pictures; what was measured below it."""
    lines = ["| method | RMSE | PSNR [dB] | SSIM | pictures |", "|---|---|---|---|---|"]
    for row in summaries:
        (rmse, rmse_sd), (psnr, psnr_sd), (ssim, ssim_sd) = (row.values[name] for name in ("rmse", "psnr", "ssim"))
        lines.append(
            f"| {row.method} | {rmse:.4f} ± {rmse_sd:.4f} | {psnr:.2f} ± {psnr_sd:.2f} | {ssim:.4f} ± {ssim_sd:.4f} | "
            f"{row.count} |"
        )
    said = ", ".join(f"{name} {value}" for name, value in facts.items())
    return "\n".join([*lines, "", f"Mean ± standard deviation over pictures, inside the mask. {said}."]) + "\n"


def refuse_report(out: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError if a report is there that may not be replaced."""
    for name in FILES:
        refuse_existing(out / name, overwrite=overwrite)


def write_report(
    out: Path, scores: Sequence[Score], table: str, sheet: np.ndarray, *, overwrite: bool = False
) -> None:
    """Write the three files, each whole or not at all."""
    with whole_file(out / "scores.csv", overwrite=overwrite) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Score))
        writer.writerows(astuple(score) for score in scores)
    with whole_file(out / "table.md", overwrite=overwrite) as part:
        part.write_text(table, encoding="utf-8")
    write_png(out / "pictures.png", sheet, overwrite=overwrite)


def _bytes(picture: Tensor) -> np.ndarray:
    """(3, S, S) from 0 to 1 to (S, S, 3) uint8, enlarged if it is small."""
    pixels = (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    times = max(1, _SMALLEST // len(pixels))
    return np.ascontiguousarray(pixels.repeat(times, axis=0).repeat(times, axis=1))
