"""The core library of risf: few-shot object detection and the re-scoring of detections with CLIP."""
