"""A small example that makes all of its input itself: photos, detections, and an encoder that knows them."""
