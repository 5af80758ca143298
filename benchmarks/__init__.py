"""Speed, as ratios against peers in the same run; `make bench`."""

import os

# As in `fusionrs_builder.translate`, and here because a benchmark imports torch first: threads that spin at barriers
# measure who else is on the machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
