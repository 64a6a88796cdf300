"""CM-CLIP: a second opinion on saved detections from an image-text encoder (RISF, CVIU 2024)."""
