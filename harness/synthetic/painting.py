"""Painting of stained tissue by the Beer-Lambert law.

A picture is a map of two concentrations, hematoxylin and eosin. What grows in it is a `Tissue`, how its slide was cut,
stained and lit is a `Look`; both are plain numbers, so two pictures differ by nothing that is not written down here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.data.tissue import STAINS

FloatArray = npt.NDArray[np.float64]
PictureArray = npt.NDArray[np.uint8]


_CELL_AT_40X = 0.018
_ZOOM_POWER = 0.7
_SHARES = ("glands", "solid", "mucin", "variety", "roughness")
_TURN = np.linspace(0, 2 * math.pi, 72, endpoint=False)


@dataclass(frozen=True, slots=True)
class Tissue:
    """What grows in a picture; lengths are in *cells*, the radius of a normal epithelial nucleus.

    Attributes:
        glands: Share of the places for a gland that hold one, 0 to 1.
        lumen: Radius of a gland's white middle.
        wall: Thickness of the epithelium around it.
        solid: Share of the area under sheets of cells that form no gland, 0 to 1.
        crowding: How densely nuclei stand in walls and sheets; 1 is normal.
        nucleus: Mean radius of their nuclei.
        variety: Standard deviation of the logarithm of that radius: pleomorphism.
        roughness: How far the outlines of nuclei and glands stray from ellipses, relative to the radius.
        spindles: Density of the spindle cells between the fibres; 1 is normal.
        mucin: Share of the area under pale mucin, 0 to 1.
    """

    glands: float
    lumen: float
    wall: float
    solid: float
    crowding: float
    nucleus: float
    variety: float
    roughness: float
    spindles: float
    mucin: float = 0.0


@dataclass(frozen=True, slots=True)
class Look:
    """How a slide was cut, stained and lit, whatever grows in it.

    Attributes:
        stains: Optical densities in R, G, B of hematoxylin and eosin at concentration 1, float64 (3, 2).
        white: Intensity without tissue, float64 (3,), up to 255.
        shade: How much darker the light gets from top to bottom and from left to right, relative, float64 (2,).
        fibre_width: Width of the stroma's fibres in cells.
        fibre_length: Their length over their width.
        fibre_angle: Their direction, radians.
        fibre_waves: How strongly they wave.
        fibre_contrast: How much the eosin varies between them.
        pale: How much paler a nucleus is in its middle than at its rim, 0 to 1.
        grain: Contrast of the clumps in the chromatin.
    """

    stains: FloatArray
    white: FloatArray
    shade: FloatArray
    fibre_width: float
    fibre_length: float
    fibre_angle: float
    fibre_waves: float
    fibre_contrast: float
    pale: float
    grain: float


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture's size in pixels and the radius of a normal nucleus in it, ``cell``, in pixels too."""

    height: int
    width: int
    cell: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, as numpy has them."""
        return self.height, self.width


def frame_at(magnification: int, height: int, width: int) -> Frame:
    """Scale a normal nucleus to the magnification.

    From 40x to 400x it grows five-fold instead of ten-fold: nuclei that real slides show at 40x would vanish in a small
    picture, and the number of nuclei in a picture stays below about a thousand.
    """
    return Frame(height, width, height * _CELL_AT_40X * (magnification / 40) ** _ZOOM_POWER)


def draw_look(rng: np.random.Generator) -> Look:
    """Draw the look of one laboratory's slides; two draws are easy to tell apart."""
    stains = np.clip(STAINS + rng.normal(0, 0.09, (3, 2)), 0.02, None)
    strengths = rng.uniform([0.75, 0.5], [1.35, 1.2])
    return Look(
        stains=stains / np.linalg.norm(stains, axis=0) * strengths,
        white=rng.uniform(238, 255, 3),
        shade=rng.uniform(-0.06, 0.06, 2),
        fibre_width=rng.uniform(0.5, 1.6),
        fibre_length=rng.uniform(2, 7),
        fibre_angle=rng.uniform(0, math.pi),
        fibre_waves=rng.uniform(0.0, 1.0),
        fibre_contrast=rng.uniform(0.15, 0.55),
        pale=rng.uniform(0.0, 0.6),
        grain=rng.uniform(0.05, 0.3),
    )


def vary_look(look: Look, rng: np.random.Generator, amount: float) -> Look:
    """Change stain strengths, light and fibres by about ``amount``, relative or in radians."""
    return replace(
        look,
        stains=look.stains * np.exp(rng.normal(0, amount, 2)),
        white=look.white * (1 - abs(rng.normal(0, amount / 4))),
        fibre_angle=look.fibre_angle + rng.normal(0, 3 * amount),
        fibre_contrast=look.fibre_contrast * math.exp(rng.normal(0, amount)),
    )


def vary_tissue(tissue: Tissue, rng: np.random.Generator, amount: float) -> Tissue:
    """Multiply every trait by its own log-normal factor of standard deviation ``amount``; nuclear size by less."""
    milder = {"nucleus": 0.4, "lumen": 0.7, "wall": 0.5}
    traits: dict[str, float] = {}
    for name, value in asdict(tissue).items():
        factor = math.exp(rng.normal(0, amount * milder.get(name, 1.0)))
        traits[name] = min(value * factor, 0.9) if name in _SHARES else value * factor
    return Tissue(**traits)


def paint_tissue(tissue: Tissue, look: Look, frame: Frame, rng: np.random.Generator) -> PictureArray:
    """Paint one picture.

    Returns:
        uint8 (3, H, W), RGB.
    """
    stroma = _fibres(look, frame, rng)
    mottle = 1 + 0.15 * smooth_noise(rng, frame, (0.5, 0.5), 0.0)
    mucin = _patches(tissue.mucin, 7.0, frame, rng)
    sheets = _patches(tissue.solid, 5.0, frame, rng)
    lumen, wall, lining = _glands(tissue, frame, rng)
    inside = _sheet_nuclei(tissue, frame, sheets * (1 - wall - lumen), rng)
    cells = np.maximum(sheets * (1 - lumen), wall)
    free = (1 - lumen) * (1 - mucin * (1 - cells))
    between = _spindle_nuclei(tissue, look, frame, free * (1 - cells), rng)
    nuclei = _stamp(np.concatenate([lining, inside, between], axis=1), tissue.roughness, look, frame, rng)
    slime = mucin * (1 - cells) * (1 - lumen)
    eosin = (free * (stroma * (1 - cells) + 0.45 * cells) + 0.06 * slime) * mottle * (1 - 0.55 * np.minimum(nuclei, 1))
    hematoxylin = (free * (0.03 + 0.16 * cells) + 0.10 * slime) * mottle
    return _develop(np.maximum(hematoxylin, 1.15 * nuclei), eosin, look, rng)


def smooth_noise(rng: np.random.Generator, frame: Frame, lengths: tuple[float, float], angle: float) -> FloatArray:
    """Draw noise (H, W) of mean 0 and deviation 1, smoothed over ``lengths`` cells across and along ``angle``."""
    across, along = (min(length * frame.cell, 0.8 * frame.height) for length in lengths)
    rows, columns = np.fft.fftfreq(frame.height)[:, None], np.fft.rfftfreq(frame.width)[None, :]
    u = columns * math.cos(angle) + rows * math.sin(angle)
    v = rows * math.cos(angle) - columns * math.sin(angle)
    keep = np.exp(-2 * math.pi**2 * ((u * along) ** 2 + (v * across) ** 2))
    keep[0, 0] = 0
    noise: FloatArray = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(frame.shape)) * keep, s=frame.shape)
    noise /= noise.std()
    return noise


def _develop(hematoxylin: FloatArray, eosin: FloatArray, look: Look, rng: np.random.Generator) -> PictureArray:
    """Turn concentrations (H, W) into light: Beer-Lambert, an uneven lamp, the noise of a camera."""
    stain_h, stain_e = look.stains.T[:, :, None, None]
    height, width = eosin.shape
    rows, columns = np.mgrid[0.5 : -0.5 : height * 1j, 0.5 : -0.5 : width * 1j]
    slope = look.shade[0] * rows + look.shade[1] * columns - np.abs(look.shade).sum() / 2
    light = look.white[:, None, None] * (1 + slope)
    picture = light * np.exp(-stain_h * hematoxylin - stain_e * eosin) + rng.normal(0, 1.5, eosin.shape)
    pixels: PictureArray = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return pixels


def _fibres(look: Look, frame: Frame, rng: np.random.Generator) -> FloatArray:
    """Eosin of the stroma (H, W): streaks along the fibres, bent by a slow wave."""
    streaks = smooth_noise(rng, frame, (look.fibre_width, look.fibre_width * look.fibre_length), look.fibre_angle)
    bend = smooth_noise(rng, frame, (6.0, 6.0), 0.0)
    rows, columns = np.mgrid[: frame.height, : frame.width] / frame.cell
    across = rows * math.cos(look.fibre_angle) - columns * math.sin(look.fibre_angle)
    waves = np.sin(across / look.fibre_width * 1.5 + (0.5 + 3 * look.fibre_waves) * bend)
    result: FloatArray = np.clip(0.55 * (1 + look.fibre_contrast * (streaks + 0.7 * waves + 0.4 * bend)), 0.02, None)
    return result


def _patches(share: float, length: float, frame: Frame, rng: np.random.Generator) -> FloatArray:
    """Soft-edged islands (H, W), 0 to 1, that cover ``share`` of the picture; ``length`` is their size in cells."""
    if share < 0.01:
        return np.zeros(frame.shape)
    noise = smooth_noise(rng, frame, (length, length), 0.0)
    noise += 0.15 * smooth_noise(rng, frame, (0.8, 0.8), 0.0)
    return np.clip((noise - np.quantile(noise, 1 - share)) * 4 + 0.5, 0, 1)


def _glands(tissue: Tissue, frame: Frame, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Lumina and walls, each (H, W) from 0 to 1, and the nuclei (5, N) that line them."""
    lumen, wall = np.zeros(frame.shape), np.zeros(frame.shape)
    outer = (tissue.lumen + tissue.wall) * frame.cell
    centers = _scatter(rng, frame, 2.6 * outer, 1.2 * outer)
    rings = [np.zeros((5, 0))]
    for center in centers.T[rng.random(centers.shape[1]) < tissue.glands]:
        outline = _draw_outline(tissue, frame, rng)
        _carve(lumen, wall, center, outline, tissue.wall * frame.cell)
        rings.append(_ring(tissue, frame, center, outline, rng))
    return lumen, wall * (1 - lumen), np.concatenate(rings, axis=1)


def _draw_outline(tissue: Tissue, frame: Frame, rng: np.random.Generator) -> FloatArray:
    """Draw a lumen as its radius in pixels in the directions `_TURN`: an ellipse with waves."""
    heights = np.array([0.25, 0.5 * tissue.roughness, 0.8 * tissue.roughness]) * rng.uniform(0.3, 1, 3)
    waves = np.cos(_TURN[:, None] * np.array([2, 3, 4]) + rng.uniform(0, 2 * math.pi, 3))
    radius = tissue.lumen * frame.cell * math.exp(rng.normal(0, 0.3))
    result: FloatArray = radius * (1 + np.sum(waves * heights, axis=1))
    return result


def _carve(lumen: FloatArray, wall: FloatArray, center: FloatArray, outline: FloatArray, thickness: float) -> None:
    """Add one gland to ``lumen`` and ``wall`` in place, touching only the window it can reach."""
    reach = outline.max() + thickness + 2
    ends = zip(center, lumen.shape, strict=True)
    window = tuple(slice(*np.clip([int(at - reach), int(at + reach) + 1], 0, size)) for at, size in ends)
    rows, columns = np.mgrid[window]
    dy, dx = rows - center[0], columns - center[1]
    beyond = np.hypot(dy, dx) - np.interp(np.arctan2(dy, dx), _TURN, outline, period=2 * math.pi)
    lumen[window] = np.maximum(lumen[window], np.clip(0.5 - beyond, 0, 1))
    wall[window] = np.maximum(wall[window], np.clip(0.5 + thickness - beyond, 0, 1))


def _ring(
    tissue: Tissue, frame: Frame, center: FloatArray, outline: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Nuclei (5, N) in the wall of one gland, long axes turned to its middle, in as many layers as fit."""
    spacing = 2.3 * tissue.nucleus * frame.cell / math.sqrt(tissue.crowding)
    thickness = tissue.wall * frame.cell
    layers = max(1, round(thickness / spacing))
    around = max(4, round(2 * math.pi * (outline.mean() + thickness / 2) / spacing))
    angle = np.linspace(0, 2 * math.pi * layers, around * layers, endpoint=False)
    angle += rng.normal(0, 0.6 / around, angle.size)
    depth = (np.repeat(np.arange(layers), around) + rng.uniform(0.3, 0.7, angle.size)) / layers
    distance = np.interp(angle, _TURN, outline, period=2 * math.pi) + thickness * depth
    places = center[:, None] + distance * np.array([np.sin(angle), np.cos(angle)])
    return np.array([*places, _radii(tissue, frame, angle.size, rng), rng.uniform(1.1, 1.5, angle.size), angle])


def _sheet_nuclei(tissue: Tissue, frame: Frame, room: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Nuclei (5, N) strewn over the sheets, turned anyhow."""
    y, x = _inside(room, _scatter(rng, frame, 2.5 * tissue.nucleus * frame.cell / math.sqrt(tissue.crowding), 0.0))
    aspect, angle = rng.uniform(1.0, 1.2 + 1.5 * tissue.roughness, y.size), rng.uniform(0, math.pi, y.size)
    return np.array([y, x, _radii(tissue, frame, y.size, rng), aspect, angle])


def _spindle_nuclei(tissue: Tissue, look: Look, frame: Frame, room: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Thin nuclei (5, N) that lie along the fibres."""
    y, x = _inside(room, _scatter(rng, frame, 5.0 * frame.cell / math.sqrt(tissue.spindles), 0.0))
    radius = 0.75 * frame.cell * np.exp(rng.normal(0, 0.15, y.size))
    angle = look.fibre_angle + rng.normal(0, 0.25, y.size)
    return np.array([y, x, radius, rng.uniform(1.8, 3.5, y.size), angle])


def _radii(tissue: Tissue, frame: Frame, count: int, rng: np.random.Generator) -> FloatArray:
    spread = np.clip(rng.normal(0, tissue.variety, count), -0.8, 0.8)
    return tissue.nucleus * frame.cell * np.exp(spread)


def _scatter(rng: np.random.Generator, frame: Frame, spacing: float, margin: float) -> FloatArray:
    """Places (2, N), y and x in pixels: a grid of ``spacing`` pixels, each point moved by up to a third of it."""
    starts = rng.uniform(0, spacing, 2) - margin
    ends = zip(starts, frame.shape, strict=True)
    grid = np.meshgrid(*(np.arange(start, size + margin, spacing) for start, size in ends), indexing="ij")
    places = np.array([axis.ravel() for axis in grid])
    return places + rng.uniform(-0.33, 0.33, places.shape) * spacing


def _inside(room: FloatArray, places: FloatArray) -> FloatArray:
    """Keep the places (2, N) that lie on the picture and where there is ``room`` (H, W)."""
    rows, columns = np.rint(places).astype(int)
    on = (rows >= 0) & (rows < room.shape[0]) & (columns >= 0) & (columns < room.shape[1])
    on[on] = room[rows[on], columns[on]] > 0.5
    return places[:, on]


def _stamp(nuclei: FloatArray, roughness: float, look: Look, frame: Frame, rng: np.random.Generator) -> FloatArray:
    """Dye each nucleus in a small window of its own, and keep the darker where two overlap.

    ``nuclei`` has the rows y, x, radius (pixels), aspect and angle (radians). Returns hematoxylin (H, W), 0 to 1.4.
    """
    y, x, radius, aspect, angle = nuclei[:, :, None, None]
    reach = math.ceil((radius * np.sqrt(aspect)).max(initial=0) * (1 + roughness)) + 1
    offsets = np.arange(-reach, reach + 1)
    rows, columns = np.floor(y).astype(int) + offsets[:, None], np.floor(x).astype(int) + offsets
    along = ((columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)) / np.sqrt(aspect)
    across = ((rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)) * np.sqrt(aspect)
    distance, turn = np.hypot(along, across) / radius, np.arctan2(across, along)
    phases = rng.uniform(0, 2 * math.pi, (2, *radius.shape))
    outline = 1 + 0.5 * roughness * (np.cos(2 * turn + phases[0]) + np.cos(3 * turn + phases[1]))
    dye = np.clip((outline - distance) * radius + 0.5, 0, 1) * rng.uniform(0.75, 1.1, radius.shape)
    dye *= 1 - look.pale * np.clip(1 - distance**2, 0, 1)
    canvas = np.zeros(frame.shape)
    on = (dye > 0) & (rows >= 0) & (rows < frame.height) & (columns >= 0) & (columns < frame.width)
    rows, columns = np.broadcast_arrays(rows, columns)
    np.maximum.at(canvas, (rows[on], columns[on]), dye[on])
    return canvas * np.clip(1 + look.grain * smooth_noise(rng, frame, (0.3, 0.3), 0.0), 0.3, 1.3)
