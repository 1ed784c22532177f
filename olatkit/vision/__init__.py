"""Images to images, without light-stage knowledge: flow, warping, demosaicing."""
