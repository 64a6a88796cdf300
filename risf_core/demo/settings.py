"""The numbers of the demo's two sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from risf_core.choices import DEFAULT_BOOTSTRAP

SCENE_SEED = 100  # of the made photos, whatever the seeds of the shots
FIRST_PHOTOS = 40  # test photos of the first result, whose detections come with the package


@dataclass(frozen=True)
class DemoSettings:
    """How much is made and trained."""

    train_photos: int
    test_photos: int
    base_iterations: int
    few_shot_iterations: int
    shots: int = 5
    resamples: int = DEFAULT_BOOTSTRAP

    def smaller(self, *, photos: int | None, iterations: int | None, shots: int | None) -> DemoSettings:
        """The same with other counts; test photos and few-shot iterations follow in proportion."""
        changed = self
        if photos is not None:
            test = max(4, round(self.test_photos * photos / self.train_photos))
            changed = replace(changed, train_photos=photos, test_photos=test)
        if iterations is not None:
            few = max(2, round(self.few_shot_iterations * iterations / self.base_iterations))
            changed = replace(changed, base_iterations=iterations, few_shot_iterations=few)
        return changed if shots is None else replace(changed, shots=shots)

    def seconds(self, *, seeds: int, per_scene: float) -> float:
        """About how long the demo takes where drawing a scene takes `per_scene` seconds.

        The other work was timed in scenes: an iteration takes as long as 5 of them, prediction and re-scoring of a test
        photo as 2, and all the rest as 600.
        """
        iterations = self.base_iterations + 2 * seeds * self.few_shot_iterations
        scenes = self.train_photos + self.test_photos + 5 * iterations + 2 * 2 * seeds * self.test_photos + 600
        return scenes * per_scene


QUICK = DemoSettings(train_photos=400, test_photos=120, base_iterations=300, few_shot_iterations=80)
FULL = DemoSettings(train_photos=500, test_photos=150, base_iterations=450, few_shot_iterations=100)
