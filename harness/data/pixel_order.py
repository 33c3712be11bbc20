"""Order of the bytes of an image: row filters of a PNG undone, channels put one behind the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.kernels import compiled

Bytes = NDArray[np.uint8]


@compiled("void(Array(uint8, 2, 'C', readonly=True), uint8[:, ::1])")
def unfilter_rgb(filtered: Bytes, rows: Bytes) -> None:
    """Undo a PNG's filters of rows with three bytes a pixel (RFC 2083, section 6).

    Args:
        filtered: uint8 (H, 1 + 3 W), a filter from 0 to 4 before each row.
        rows: uint8 (H, 3 W), filled.
    """

    def predicted(kind: int, left: int, upper: int, corner: int) -> int:
        if kind == 4:  # Paeth: the neighbour nearest to left + upper - corner, told without a branch
            turn, low, high = 3 * corner - upper - left, min(left, upper), max(left, upper)
            nearest = low if high <= turn else corner
            return high if turn <= low else nearest
        if kind == 3:
            return (left + upper) >> 1
        if kind == 2:
            return upper
        return left if kind == 1 else 0

    above = np.zeros(rows.shape[1], np.uint8)
    for row in range(len(rows)):
        kind, line, whole = int(filtered[row, 0]), filtered[row, 1:], rows[row]
        red = green = blue = red_corner = green_corner = blue_corner = 0
        for pixel in range(len(whole) // 3):  # channels side by side: each waits for its own left neighbour alone
            # without a sign, or each place would be checked for counting from the end
            i, j, k = np.uintp(3 * pixel), np.uintp(3 * pixel + 1), np.uintp(3 * pixel + 2)
            red_upper, green_upper, blue_upper = int(above[i]), int(above[j]), int(above[k])
            red = (int(line[i]) + predicted(kind, red, red_upper, red_corner)) & 255
            green = (int(line[j]) + predicted(kind, green, green_upper, green_corner)) & 255
            blue = (int(line[k]) + predicted(kind, blue, blue_upper, blue_corner)) & 255
            whole[i], whole[j], whole[k] = red, green, blue
            red_corner, green_corner, blue_corner = red_upper, green_upper, blue_upper
        above = whole


def planes_of(pixels: Bytes) -> Bytes:
    """Return uint8 (3, H, W) with its channels one behind the other in memory, whatever order they were in."""
    split = split_channels.machine_code
    beside = pixels.transpose(1, 2, 0)
    if split is None or not beside.flags.c_contiguous:
        return np.ascontiguousarray(pixels)
    planes = np.empty(pixels.shape, np.uint8)
    split(beside.reshape(-1), planes.reshape(3, -1))
    return planes


@compiled("void(Array(uint8, 1, 'C', readonly=True), uint8[:, ::1])")
def split_channels(pixels: Bytes, planes: Bytes) -> None:
    """Copy uint8 (3 N,), the colours of a pixel side by side, to uint8 (3, N)."""
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(red)):  # the step of three is written out, or the compiler does not see it
        red[i] = pixels[3 * i]
        green[i] = pixels[3 * i + 1]
        blue[i] = pixels[3 * i + 2]
