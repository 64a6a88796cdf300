"""RISF's parts for detectron2, here and in your own scripts: the loss, the decoupled heads, the few-shot data.

In a script that has its config of a C4 model in `cfg`::

    from detectron2.data import DatasetMapper, build_detection_train_loader
    from detectron2.modeling import build_model
    from risf_core.engines.detectron2 import BnrlPredictor, decouple, few_shot_dicts

    data = few_shot_dicts("split", shots=5, images=["photos"])
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(data.vocabulary)
    model = build_model(cfg)
    heads = model.roi_heads
    heads.box_predictor = BnrlPredictor.replacing(heads.box_predictor, loss="paper", classifier_dropout=0.8)
    decouple(model, rcnn_gradient_scale=0.01)
    mapper = DatasetMapper(cfg, is_train=True)
    loader = build_detection_train_loader(data.dicts, mapper=mapper, total_batch_size=cfg.SOLVER.IMS_PER_BATCH)
"""

from risf_core.engines.detectron2.datasets import FewShotDicts, dataset_dicts, few_shot_dicts
from risf_core.engines.detectron2.decoupling import decouple
from risf_core.engines.detectron2.model import DecoupledRCNN, detectron2_model
from risf_core.engines.detectron2.predictor import BnrlPredictor

__all__ = [
    "BnrlPredictor",
    "DecoupledRCNN",
    "FewShotDicts",
    "dataset_dicts",
    "decouple",
    "detectron2_model",
    "few_shot_dicts",
]
