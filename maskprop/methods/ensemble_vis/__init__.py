"""EnsembleVIS (Luiten, Torr, Leibe, ICCVW 2019): detections, segmented and classified in crops, tracked by UnOVOST.

thinning -> mask_warp, tracklets -> merging (UnOVOST) make ids.
"""
