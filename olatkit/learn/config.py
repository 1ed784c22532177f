"""What can be set for a training: one frozen model, read from YAML; the defaults are the paper's run with `base`."""

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from olatkit.learn.augment import AugmentConfig
from olatkit.learn.variants import PARSING_CHANNELS, STRIDE
from olatkit.render.sampling import SamplingConfig

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StageConfig(BaseModel):
    """One stage of progressive resolution."""

    model_config = _STRICT

    size: int = Field(gt=0, multiple_of=STRIDE, description="side of the pictures [px], a multiple of 64")
    batch: int = Field(ge=1, description="pairs per step and process")
    share: float = Field(gt=0, le=1, description="share of all steps")


class LossWeights(BaseModel):
    """The factors λ of Eq. 10; the paper sets all to 1."""

    model_config = _STRICT

    basic: float = Field(1.0, ge=0, description="light, relit picture, self-reconstruction (Eq. 4)")
    latent: float = Field(1.0, ge=0, description="structure code of the relit picture (Eq. 5)")
    parsing: float = Field(1.0, ge=0, description="parsing (Eq. 6)")
    temporal: float = Field(1.0, ge=0, description="agreement of neighbouring frames (Eq. 8)")
    adversarial: float = Field(1.0, ge=0, description="critic (Eq. 7)")


class LossConfig(BaseModel):
    """Which losses are on, and how they are read where the paper leaves a choice."""

    model_config = _STRICT

    structure: bool = Field(True, description="structure self-supervision, Eq. 5")
    parsing: bool = Field(True, description="parsing head and its loss, Eq. 6")
    temporal: bool = Field(True, description="temporal consistency, Eq. 8")
    adversarial: bool = Field(True, description="critic, Eq. 7")
    weights: LossWeights = LossWeights()
    warm_up: float = Field(
        0.05, ge=0, le=1, description="share of all steps before Eq. 5 and 8 are switched on, and over which Eq. 7 fades in"
    )
    light_norm: Literal["mean_square", "l2"] = Field(
        "mean_square", description="light term of Eq. 4: mean of squares, or its root as the paper writes"
    )
    latent_stop_gradient: Literal["none", "first"] = Field(
        "none", description="first: the code of the source is taken as given in Eq. 5"
    )
    temporal_mask: bool = Field(True, description="compare visible foreground only in Eq. 8; false: every pixel")

    @model_validator(mode="after")
    def _check_something_is_learned(self) -> "LossConfig":
        early = self.weights.basic or (self.parsing and self.weights.parsing)
        late = (self.structure and self.weights.latent) or (self.temporal and self.weights.temporal)
        if not early and (self.warm_up or not late):
            when = "before Eq. 5 and 8 are switched on (warm_up)" if late else "at all"
            raise ValueError(f"no loss counts {when}; give weights.basic or weights.parsing a value above 0")
        return self


class CriticConfig(BaseModel):
    """The critic and its training (Wasserstein form)."""

    model_config = _STRICT

    widths: tuple[int, ...] | None = Field(
        None, description="channels of its convolutions; null: DCGAN's, as many as the last stage's size needs"
    )
    steps: int = Field(5, ge=1, description="critic steps per step of the network")
    memory: int = Field(5, ge=1, description="batches of past steps that serve the critic")
    clip: float = Field(0.01, gt=0, description="largest magnitude of its parameters")


class OptimizerConfig(BaseModel):
    """RMSprop, for network and critic alike."""

    model_config = _STRICT

    learning_rate: float = Field(5e-5, gt=0, description="step size")
    ramp: int = Field(
        100, ge=1, description="steps, from the start of each stage, over which the network's step size grows to its value"
    )
    smoothing: float = Field(0.99, ge=0, lt=1, description="decay of the mean of squared gradients")
    largest_gradient: float | None = Field(
        None, gt=0, description="gradients of larger norm are scaled down to it; null: left as they are"
    )


class ReportConfig(BaseModel):
    """What is written down while training, and how often, in steps."""

    model_config = _STRICT

    metrics_every: int = Field(50, ge=1, description="a row of metrics.csv and TensorBoard scalars")
    pictures_every: int = Field(1000, ge=1, description="a sheet of pictures")
    checkpoint_every: int = Field(1000, ge=1, description="a checkpoint")
    keep: int = Field(2, ge=1, description="newest checkpoints that stay")
    validate_every: int = Field(1000, ge=1, description="errors on subjects that are not trained on")
    validation_pairs: int = Field(32, ge=0, description="pairs of the test split, always the same; 0: none")
    tensorboard: bool = Field(True, description="write TensorBoard events where the package is installed")


class LoaderConfig(BaseModel):
    """How samples reach the training device."""

    model_config = _STRICT

    workers: int = Field(2, ge=0, description="processes that read and decode; 0: the training process itself")
    source: Literal["olat", "baked"] = Field(
        "olat", description="relight OLAT images afresh under sampled lightings, or read relit pairs that were stored"
    )
    variants: int = Field(1, ge=1, description="samples from one reading, each with lightings and noise of its own")
    crops: int = Field(1, ge=1, description="how many of them have a crop of their own; at most `variants`")
    balance_subjects: bool = Field(
        True, description="draw a subject first and then one of its pairs; false: every pair once per epoch"
    )

    @model_validator(mode="after")
    def _check_crops(self) -> "LoaderConfig":
        if self.crops > self.variants:
            raise ValueError(f"crops is {self.crops}, expected at most variants, {self.variants}")
        return self


class TrainConfig(BaseModel):
    """All settings of ``olatkit train``."""

    model_config = _STRICT

    variant: Literal["base", "small", "lite", "tiny"] = Field("base", description="size of the network")
    parsing_channels: Literal[19, 1] | None = Field(
        None, description="classes of the parsing head: 19, or 1 for foreground; null: 19, for tiny 1"
    )
    activation: Literal["prelu", "relu6"] = Field("prelu", description="between layers; relu6 suits phones")
    norm: Literal["group", "batch"] | None = Field(
        None, description="normalisation; null: the variant's own, batch for lite. With group pictures do not depend on "
        "their batch, batch can be folded into convolutions"
    )
    light_levels: bool | None = Field(
        None, description="the lighting also scales and shifts every level of the decoder; null: the variant's own, true "
        "for lite. False: as the paper has it"
    )
    seed: int = Field(0, ge=0, description="of weights, samples and lightings")
    steps: int = Field(300_000, ge=1, description="steps of the optimizer in all stages together")
    stages: tuple[StageConfig, ...] = Field(
        (
            StageConfig(size=128, batch=8, share=0.2),
            StageConfig(size=256, batch=8, share=0.4),
            StageConfig(size=512, batch=4, share=0.4),
        ),
        min_length=1, description="progressive resolution: sizes must not fall, shares sum to 1",
    )
    accumulate: int = Field(1, ge=1, description="batches whose gradients are averaged into one step")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="bf16: convolutions in bfloat16, losses and light in float32"
    )
    compile: bool = Field(
        False, description="compile the network with torch.compile, for GPUs: minutes first, and no gain on a CPU"
    )
    average: float = Field(0.999, ge=0, lt=1, description="decay of the averaged weights that are used for evaluation")
    optimizer: OptimizerConfig = OptimizerConfig()
    losses: LossConfig = LossConfig()
    critic: CriticConfig = CriticConfig()
    sampling: SamplingConfig = SamplingConfig()
    augment: AugmentConfig = AugmentConfig()
    loader: LoaderConfig = LoaderConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _check_stages(self) -> "TrainConfig":
        total = sum(stage.share for stage in self.stages)
        if not math.isclose(total, 1, abs_tol=1e-6):
            raise ValueError(f"the shares of the stages sum to {total:g}, expected 1")
        sizes = [stage.size for stage in self.stages]
        if sizes != sorted(sizes):
            raise ValueError(f"the sizes of the stages are {sizes}, expected them not to fall")
        return self

    @model_validator(mode="after")
    def _check_sampling(self) -> "TrainConfig":
        changed = [key for key, value in self.sampling if value != getattr(SamplingConfig(), key)]
        if self.loader.source == "baked" and changed:
            raise ValueError(
                f"sampling.{changed[0]} says nothing to baked pairs, whose light was drawn when they were built; leave it "
                "out, or read the single lights (loader.source: olat)"
            )
        return self

    @property
    def parsing_classes(self) -> int:
        """Classes of the parsing head, 0 if there is none."""
        if not self.losses.parsing or not self.losses.weights.parsing:
            return 0
        return self.parsing_channels or PARSING_CHANNELS[self.variant]
