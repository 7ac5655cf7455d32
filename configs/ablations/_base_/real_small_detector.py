"""The detector of real_detector.py on frames of 160x90 pixels, as large as those of the synthetic set."""

_base_ = ['./real_detector.py']

train_pipeline = _base_.train_pipeline
train_pipeline[1]['transforms'][2]['scale'] = [(140, 79), (200, 113)]
train_pipeline[1]['transforms'][3]['crop_size'] = (90, 160)
test_pipeline = _base_.test_pipeline
test_pipeline[0]['transforms'][1]['scale'] = (160, 90)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
