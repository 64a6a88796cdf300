"""Foreign file formats of detections, one file each."""
