"""RGB to infrared: the controls, the generator, its training and its scores, and the stage that fills ir/."""

import os

# OpenMP threads that spin at every barrier take the processor from decoding, encoding and other workers: where one of
# two cores was busy, a network whose threads share each image was 1.7 times slower. Images up to
# `cyclegan.OWN_THREAD` do not share. Heeded only by an OpenMP that is loaded later, so it stands here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
