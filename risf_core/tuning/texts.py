"""Which templates and names labelled crops speak for, among those that `risf tune` tries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import DEFAULT_TEMPERATURE, DEFAULT_TEMPLATE
from risf_core.detections import Detections, ImageId
from risf_core.encoder.protocol import CropEncoder, ImageCrops
from risf_core.errors import ConfigError, did_you_mean
from risf_core.photos import Photo
from risf_core.rescore.crop_jobs import embedded_crops, plan_crops
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.gathering import gather_evidence, text_embeddings
from risf_core.rescore.prompts import Prompts, Texts, readable_name
from risf_core.rescore.settings import RescoreSettings, prompts_of
from risf_core.vocabulary import ClassVocabulary

TEMPLATES = (DEFAULT_TEMPLATE, "a photo of a {}", "a cropped photo of a {}", "a close-up photo of a {}", "{}")
ERRORS = 1.2  # standard errors over the images that a text must win by; what one image alone speaks for wins by 1
MOST_CROPS = 6_000  # that texts are chosen by
_LEAST = np.log(1e-6)  # of a log-probability: how much one crop can speak against a text
_ROUNDS = 3  # a name chosen later may change what was best before


@dataclass(frozen=True)
class TextChoices:
    """What is tried beside the settings' own texts."""

    templates: tuple[str, ...] = TEMPLATES  # each by itself, and all averaged
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # class name -> what else it may be called


@dataclass(frozen=True, eq=False)
class TextTrial:
    """What R labelled crops say of every text that can be chosen, for N rows of a table."""

    templates: tuple[tuple[str, ...], ...]  # (T,) that are averaged; the settings' own first
    names: tuple[str, ...]  # (M,) all that can be chosen
    names_of: Mapping[int, tuple[int, ...]]  # label -> positions among the names, the settings' own first
    class_names: tuple[str, ...]  # of all labels
    logits: NDArray[np.float32]  # (T, R, M + 1), the background's last; -inf where there is none
    labels: NDArray[np.int64]  # (R,) the right class of each crop
    images: NDArray[np.int64]  # (R,) positions among the labelled images
    crops: NDArray[np.int64]  # (R,) rows of the whole table
    rows: NDArray[np.int64]  # (N,) rows of the whole table
    evidence_of: Callable[[Texts], Evidence]  # of the whole table, by other texts

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> TextTrial:
        """The same for some of the rows."""
        return replace(self, rows=self.rows[rows])

    def evidence(self, texts: Texts) -> Evidence:
        """What the encoder says of the rows by other texts."""
        return self.evidence_of(texts)[self.rows]

    def choose(self) -> Texts | None:
        """The texts that make the right classes of the rows' crops most probable; None: those of the settings.

        One class after another, those of most crops first, then the template, each with the others as they are. A text
        is changed only where the gain is beyond its error over the images, and never to the name of another class.
        """
        mine = np.isin(self.crops, self.rows)
        labels, (photos, images) = self.labels[mine], np.unique(self.images[mine], return_inverse=True)
        template = 0
        name_of = {label: own[0] for label, own in self.names_of.items()}
        if len(photos) < 2:
            return None

        def said(template: int, name_of: Mapping[int, int]) -> NDArray[np.float64]:
            """The log-probabilities of the right classes of the crops."""
            columns = [*name_of.values(), len(self.names)]
            logits = self.logits[template][mine].astype(np.float64)
            own = logits[np.arange(len(labels)), [name_of[label] for label in labels.tolist()]]
            log_probabilities = own - np.logaddexp.reduce(logits[:, columns], axis=1)
            return np.asarray(np.maximum(log_probabilities, _LEAST))

        def best(tried: Mapping[int, NDArray[np.float64]], now: int) -> int:
            """The most probable, or what is in force where that is hardly less so."""
            first = max(tried, key=lambda choice: float(tried[choice].sum()))
            gains = np.bincount(images, weights=tried[first] - tried[now])
            return first if gains.mean() > ERRORS * gains.std(ddof=1) / np.sqrt(len(gains)) + 1e-9 else now

        in_turn = sorted(self.names_of, key=lambda label: -int((labels == label).sum()))
        for _ in range(_ROUNDS):
            for label in in_turn:
                others = {name for other, name in name_of.items() if other != label}
                free = [name for name in self.names_of[label] if name == name_of[label] or name not in others]
                if len(free) > 1:
                    names = {name: said(template, {**name_of, label: name}) for name in free}
                    name_of[label] = best(names, name_of[label])
            template = best({number: said(number, name_of) for number in range(len(self.templates))}, template)
        texts = self._texts(template, name_of)
        return None if texts == self._texts(0, {label: own[0] for label, own in self.names_of.items()}) else texts

    def _texts(self, template: int, name_of: Mapping[int, int]) -> Texts:
        aliases = {self.class_names[label]: self.names[name] for label, name in name_of.items()}
        return Texts(
            self.templates[template], {own: name for own, name in aliases.items() if name != readable_name(own, {})}
        )


def try_texts(
    detections: Detections,
    right: NDArray[np.float64],
    images: NDArray[np.int64],
    choices: TextChoices,
    *,
    evidence: Evidence,
    vocabulary: ClassVocabulary,
    encoder: CropEncoder,
    photos: Mapping[ImageId, Photo],
    settings: RescoreSettings,
) -> TextTrial:
    """Compare the crops of detections that are right with every text to choose from.

    Args:
        right: (N,) 1 where the detection found a box.
        images: (N,) positions among the labelled images.
        evidence: what the encoder says by the settings' own texts.
        encoder: knows the crops already (`Remembering`), so that other texts cost no pass.
    """
    _, columns = prompts_of(vocabulary, settings)
    names_of_class = {
        label: (readable_name(name, settings.aliases), *choices.names.get(name, ()))
        for label, name in enumerate(vocabulary.names)
        if columns[label] >= 0
    }
    names = tuple(dict.fromkeys(name for own in names_of_class.values() for name in own))
    position = {name: number for number, name in enumerate(names)}
    singles = [(template,) for template in choices.templates if (template,) != settings.templates]
    together = [choices.templates] if len(choices.templates) > 1 else []
    templates = tuple(dict.fromkeys([settings.templates, *singles, *together]))

    asked = np.flatnonzero(~np.isnan(evidence.probability) & (right > 0))
    asked = asked[:: len(asked) // MOST_CROPS + 1]
    place = {row: number for number, row in enumerate(asked.tolist())}
    logits = np.full((len(templates), len(asked), len(names) + 1), -np.inf, dtype=np.float32)
    scale = DEFAULT_TEMPERATURE if settings.temperature is None else settings.temperature
    text = [scale * text_embeddings(encoder, Prompts(names, settings.background, own)) for own in templates]
    plan = plan_crops(detections, np.flatnonzero(~np.isnan(evidence.probability)), photos, keep_unreadable=True)
    for job, embeddings in embedded_crops(plan, encoder, None, done=0, total=plan.crop_count):
        for row, crop in zip(job.rows.tolist(), job.crop_of_row.tolist(), strict=True):
            if row in place:
                for number, own in enumerate(text):
                    logits[number, place[row], : len(own)] = own @ embeddings[crop]
    return TextTrial(
        templates,
        names,
        {label: tuple(position[name] for name in dict.fromkeys(own)) for label, own in names_of_class.items()},
        tuple(vocabulary.names),
        logits,
        detections.labels[asked],
        images[asked],
        asked,
        np.arange(len(detections)),
        _Evidences(detections, evidence, vocabulary, encoder, photos, settings),
    )


def check_texts(choices: TextChoices, vocabulary: ClassVocabulary, settings: RescoreSettings) -> None:
    """Raises ConfigError where texts are to be chosen that nothing is compared with, or of unknown classes."""
    if not (settings.asks_names and settings.asks_crops):
        raise ConfigError(
            f"`templates=auto` compares crops with names, `evidence={settings.evidence}` does not; leave one out"
        )
    for template in choices.templates:
        prompts_of(vocabulary, replace(settings, templates=(template,)))
    for name in choices.names:
        if name not in vocabulary.names:
            raise ConfigError(
                f"`alias` names the class {name!r}, which is not among the {len(vocabulary)} classes"
                f"{did_you_mean(name, vocabulary.names)}"
            )


class Remembering:
    """An encoder that is asked once for each photo's crops, whatever texts they are compared with."""

    def __init__(self, encoder: CropEncoder) -> None:
        self._encoder = encoder
        self._known: dict[tuple[str, bytes], NDArray[np.float32]] = {}

    @property
    def key(self) -> str:
        """The key of the encoder within."""
        return self._encoder.key

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """For each photo the embeddings of its boxes, (n, D)."""
        wanted = [((str(image.photo.path), image.boxes.tobytes()), image) for image in images]
        fresh = self._encoder.encode_crops(image for key, image in wanted if key not in self._known)
        for key, _ in wanted:
            if key not in self._known:
                self._known[key] = next(fresh)
            yield self._known[key]

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embedding of each text, (T, D)."""
        return self._encoder.encode_texts(texts)


@dataclass(eq=False)
class _Evidences:
    """The evidence of a table by any texts, gathered once for each; what shots say does not depend on them."""

    detections: Detections
    own: Evidence
    vocabulary: ClassVocabulary
    encoder: CropEncoder
    photos: Mapping[ImageId, Photo]
    settings: RescoreSettings
    _known: list[tuple[Texts, Evidence]] = field(default_factory=list)

    def __call__(self, texts: Texts) -> Evidence:
        for known, evidence in self._known:
            if known == texts:
                return evidence
        settings = self.settings.saying(texts)
        gathered = gather_evidence(
            self.detections,
            vocabulary=self.vocabulary,
            encoder=self.encoder,
            photos=self.photos,
            settings=replace(settings, evidence="text" if settings.evidence == "both" else settings.evidence),
        )
        evidence = replace(
            gathered.evidence, support=self.own.support, nearest=self.own.nearest, similarity=self.own.similarity
        )
        self._known.append((texts, evidence))
        return evidence
