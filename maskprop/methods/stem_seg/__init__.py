"""STEm-Seg (Athar et al., ECCV 2020): instances of a clip as clusters of its pixels' embeddings.

In the order of a clip: ``clip_decoder`` (features to embeddings and classes), ``clip_targets`` and ``clip_losses``
(training), ``clustering`` and ``stitching`` (embeddings to tracks), ``label_instances`` (tracks to results),
``clip_queue`` and ``clip_stream`` (a video in progress), ``stem_seg`` (the model).
"""

from maskprop.methods.stem_seg.clip_decoder import ClipClassDecoder, ClipEmbeddingDecoder, ClipSeedinessDecoder
from maskprop.methods.stem_seg.clustering import SeedClustering
from maskprop.methods.stem_seg.stem_seg import StemSeg

__all__ = ['ClipClassDecoder', 'ClipEmbeddingDecoder', 'ClipSeedinessDecoder', 'SeedClustering', 'StemSeg']
