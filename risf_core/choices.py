"""Every set of words that a setting takes, and every default that commands and core share."""

from __future__ import annotations

from typing import Literal, get_args

# What computes
Precision = Literal["fp32", "bf16", "fp16"]
PrecisionChoice = Literal["auto", "fp32", "bf16", "fp16"]  # auto: the hardware's best
BackendChoice = Literal["auto", "torch", "openvino"]  # who runs an encoder on a CPU; auto: what is clearly faster
PRECISIONS: tuple[str, ...] = get_args(PrecisionChoice)
Engine = Literal["torchvision", "detectron2"]  # who runs the network: the same weights and boxes

# Detections as other tools write them
BoxConvention = Literal["xywh", "xyxy", "xywh-relative", "xyxy-relative"]
CategoryConvention = Literal["dataset", "positions", "positions-from-1"]
ImageIdConvention = Literal["dataset", "text", "file-names", "stems", "positions", "positions-from-1"]
OnUnreadable = Literal["error", "keep"]  # photos that cannot be read; keep: continue without them
OnUnmatched = Literal["error", "keep", "drop"]  # rows whose image or category is unknown; keep: left as they are

# Classes, data and splits
Group = Literal["all", "base", "novel"]
GroupChoice = Literal["auto", "all", "base", "novel"]  # auto: as fits
Benchmark = Literal["coco", "voc", "own"]
Setting = Literal["base", "few-shot", "generalised"]
Layout = Literal["risf", "tfa"]
LayoutChoice = Literal["risf", "tfa", "both"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
DatasetKind = Literal["coco", "voc", "yolo"]
RecordForm = Literal["image", "box"]

# Evaluation
Protocol = Literal["coco", "voc"]
EvaluatorName = Literal["ultrafast", "pycocotools"]
Best = Literal["f1", "lrp"]  # what a threshold is to make best
DEFAULT_BOOTSTRAP = 1000  # resamples of the images

# A detector's weights
CheckpointForm = Literal["defrcn", "detectron2", "msra", "timm", "safetensors", "run"]
CHECKPOINT_FORMS: tuple[str, ...] = get_args(CheckpointForm)
LossPreset = Literal["cross-entropy", "paper", "released"]

# Re-scoring; the defaults are the paper's (RISF section 3.3)
CropRule = Literal["squash", "pad", "context"]
# What speaks for a class: its name or its shots beside the crop, or both; its name beside the whole photo, or beside
# crop and photo; none: the detector's score alone
EvidenceKind = Literal["text", "support", "both", "photo", "text+photo", "none"]
SupportScore = Literal["softmax", "cosine"]  # how a crop is compared with shots; cosine: PCB's
Preset = Literal["cm-clip", "pcb"]
FusionRule = Literal["linear", "geometric", "log-odds"]
SoftmaxOver = Literal["rescored", "all"]
SUPPORT_SCORES: tuple[str, ...] = get_args(SupportScore)
EVIDENCE_KINDS: tuple[str, ...] = get_args(EvidenceKind)
FUSION_RULES: tuple[FusionRule, ...] = get_args(FusionRule)
SOFTMAX_OVER: tuple[str, ...] = get_args(SoftmaxOver)
DEFAULT_CLIP = "ViT-L-14-336-quickgelu:openai"
DEFAULT_TEMPLATE = "a photo of {}"
DEFAULT_BACKGROUND = "background"
DEFAULT_ALPHA = 0.7  # the detector's share
DEFAULT_TEMPERATURE = 100.0
DEFAULT_MIN_SCORE, DEFAULT_MAX_SCORE = 0.05, 1.0  # rows above the one, up to the other, are re-scored
