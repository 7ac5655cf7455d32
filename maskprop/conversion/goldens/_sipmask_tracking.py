"""SipMask-VIS's reference numbers of tracking, computed anew by the linker, and what is kept of a video."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from maskprop.conversion.golden_arrays import Compared
from maskprop.conversion.goldens._detected_frame import detected_frame
from maskprop.methods.masktrack_rcnn.mask_track_linker import MaskTrackLinker
from maskprop.methods.masktrack_rcnn.track_matching import match_scores, pairwise_box_iou, update_memory
from maskprop.methods.sipmask.sipmask_track_head import SipMaskTrackHead
from maskprop.ops.match_logits import match_logits
from maskprop.structures import Frame, FrameResult, PerInstance
from maskprop.tracking.video_instances import VideoInstances

SCALE = 0.5  # network pixels per pixel of the video, in the sequence
SCORE_RULE = 'majority_lowest'

Arrays = Mapping[str, Tensor]
Found = dict[str, Compared]


def reference_linker(losers: str = 'drop') -> MaskTrackLinker:
    """As the reference links; with ``'duplicate'`` those that lose their object later on keep the id too."""
    return MaskTrackLinker(normalize=False, legacy_iou=True, losers=losers, update_labels=False, max_age=None)


def compare_tracking(case: Arrays, head: SipMaskTrackHead) -> Found:
    """A sequence frame by frame, its video, and a next video whose first frame has no detection.

    Ids are from 1 here and from 0 there.
    """
    sequence = _Sequence(case, head)
    for index in range(int(case['track_num_frames'])):
        sequence.step(index)
    sequence.finish()
    linker = reference_linker()
    linker.link(sequence.frame(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long), 0))
    ids = linker.link(sequence.frame(case['leak_dets'], case['leak_labels'], -1))
    sequence.near(0, leak_ids_without_leak=torch.tensor(ids) - 1)
    return sequence.found


class _Sequence:
    """The reference's loop over a video: two linkers of one rule, one of which shows who lost an object."""

    def __init__(self, case: Arrays, head: SipMaskTrackHead) -> None:
        self.case = case
        self.head = head
        self.found: Found = {}
        self.linkers = reference_linker('duplicate'), reference_linker('drop')
        self.instances = VideoInstances(SCORE_RULE)
        self.memory: dict[str, Tensor] = {}

    def near(self, absolute: float, **arrays: Tensor) -> None:
        self.found |= {name: Compared(value, self.case[name], absolute) for name, value in arrays.items()}

    def frame(self, rows: Tensor, labels: Tensor, index: int) -> Frame:
        embeds = self.head.at_centres(self.case['track_feats_seq'][index], rows[:, :4] * SCALE)
        return detected_frame(rows, labels, track_head=PerInstance(embeds))

    def step(self, index: int) -> None:
        rows, labels = self.case[f'track_dets_{index}'], self.case[f'track_labels_{index}']
        frame = self.frame(rows, labels, index)
        now = dict(bboxes=rows, labels=labels, embeds=frame.codes['track_head'].values)
        if self.memory:
            self._scores(now, index)
        else:
            self.memory = {name: values[:0] for name, values in now.items()}
        raw, final = (linker.link(frame) for linker in self.linkers)
        objects = [-1 if track_id is None else track_id - 1 for track_id in raw]
        holders = [(track_id - 1, row) for row, track_id in enumerate(final) if track_id is not None]
        self._remember(now, objects)
        self.near(
            0,
            **{
                f'track_ids_{index}': torch.tensor(objects),
                f'track_mask_of_id_{index}': torch.tensor(sorted(holders)),
                f'track_mem_bboxes_{index}': self.memory['bboxes'],
                f'track_mem_labels_{index}': self.memory['labels'],
            },
        )
        result = FrameResult(index)
        for track_id, row in holders:
            result.add(1 + track_id, int(labels[row]), float(rows[row, 4]), frame.rles[row])
        self.instances.add_frame(result)

    def _scores(self, now: Mapping[str, Tensor], index: int) -> None:
        logits = match_logits(now['embeds'], self.memory['embeds'], normalize=False)
        ious = pairwise_box_iou(now['bboxes'][:, :4], self.memory['bboxes'][:, :4], legacy=True)
        same = (now['labels'][:, None] == self.memory['labels']).float()
        scores = match_scores(logits, now['bboxes'][:, 4], ious, same)
        self.near(1e-4, **{f'track_logprob_{index}': logits.log_softmax(1), f'track_comp_{index}': scores})
        self.near(1e-5, **{f'track_ious_{index}': ious})
        self.near(0, **{f'track_same_label_{index}': same})

    def _remember(self, now: Mapping[str, Tensor], objects: list[int]) -> None:
        first_time = [taken if taken >= len(self.memory['labels']) else -1 for taken in objects]
        for name, values in now.items():
            self.memory[name] = update_memory(
                self.memory[name], values, first_time if name == 'labels' else objects
            )

    def finish(self) -> None:
        """Ids, scores and categories of the video; presence has a row for each id."""
        results = sorted(self.instances.to_results(0, range(1, 1000)), key=lambda result: result['track_id'])
        present = [[rle is not None for rle in result['segmentations']] for result in results]
        self.near(
            0,
            video_ids=torch.tensor([result['track_id'] - 1 for result in results]),
            video_category_1based=torch.tensor([result['category_id'] for result in results]),
            video_present=torch.tensor(present),
        )
        self.near(1e-6, video_score=torch.tensor([result['score'] for result in results]))
