"""What can be set for an ingest: one frozen model, read from YAML; every key has a default that suits a real stage."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MotionConfig(BaseModel):
    """How frames are brought to the reference instant."""

    model_config = _STRICT

    method: Literal["auto", "direct", "refine", "none"] = Field(
        "auto",
        description="direct: flow from the reference to every tracking frame; refine: chained and refined, for "
        "fast motion; auto: refine where motion over 60 ms exceeds 4 % of the region; none: no compensation",
    )
    flow: Literal["auto", "fine", "balanced", "medium", "fast"] = Field(
        "auto", description="flow between tracking frames; auto: fine for regions up to 320 pixels high, balanced above"
    )
    every_knot: bool = Field(
        False, description="flow to every tracking frame; False: to every second one, the others by a cubic in time"
    )
    dead_zone_px: float = Field(
        0.15, ge=0, description="pixels that move less than this in the whole window are treated as still"
    )
    shading: bool = Field(
        False,
        description="also follow moving shadows and highlights between the two looks at a light: sharper "
        "shadow edges on fast subjects, and much slower",
    )
    confidence: float = Field(
        0.05, gt=0, description="share of the foreground whose tracking frames may disagree before a light is flagged"
    )


class DemosaicConfig(BaseModel):
    """What the demosaicing filters assume about the lens and the sensor."""

    model_config = _STRICT

    blur_px: float = Field(0.6, ge=0.1, le=2, description="standard deviation of lens and low-pass blur, pixels")
    noise: float = Field(1e-3, gt=0, le=1, description="noise variance as a share of the signal variance")
    chroma: float = Field(0.05, gt=0, le=1, description="variance of colour differences, share of the common one")


class IngestConfig(BaseModel):
    """All settings of ``olatkit ingest``."""

    model_config = _STRICT

    mode: Literal["blend", "nearest", "causal"] = Field("blend", description="which looks at a light make its image")
    motion: MotionConfig = MotionConfig()
    demosaic: DemosaicConfig = DemosaicConfig()
    crosstalk: Annotated[float, Field(ge=0, lt=0.5)] | Literal["auto"] = Field(
        "auto",
        description="share of a frame's light that leaks into the next; auto: estimated, inverted from 0.5 % up; 0: none",
    )
    ambient: Literal["none", "closure"] = Field(
        "none",
        description="closure: subtract constant light found from the sum of all lights against the tracking frame",
    )
    solver: Literal["lstsq", "wls"] = Field("lstsq", description="inversion of mix schedules; wls weighs by noise")
    saturation: float = Field(0.985, gt=0, le=1, description="share of full scale from which a raw value is saturated")
    max_saturated: float = Field(
        0.2,
        gt=0,
        le=1,
        description="share of saturated foreground pixels, all lights together, from which ingest stops",
    )
    roi_margin: float = Field(0.03, ge=0, le=1, description="margin around the subject, share of its size")
    optical_black: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = Field(
        None, description="[first, one past the last] column that the sensor shields from light: row offsets come from them"
    )
    transients: float = Field(
        0,
        ge=0,
        description="standard deviations of noise from which a single pixel that stands out of one frame (a cosmic ray) "
        "is replaced; 12 is safe, 0: none",
    )
    full_well_e: float = Field(
        20000, gt=0, description="electrons at full scale, for noise; measured if dark and flat recordings are given"
    )
    read_noise_e: float = Field(
        20, ge=0, description="read noise in electrons; measured if dark and flat recordings are given"
    )
