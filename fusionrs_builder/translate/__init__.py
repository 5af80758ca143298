"""RGB to infrared: the controls, the generator, its training and its scores, and the stage that fills ir/."""

import os

# OpenMP threads that spin at every barrier take the processor from decoding, encoding and other workers: on two busy
# cores they make the stage three times slower. Heeded only by an OpenMP that is loaded later, so it stands here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
