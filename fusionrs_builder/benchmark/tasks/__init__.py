"""What models are measured on, a file each."""

from typing import Literal, get_args

Task = Literal["retrieval", "classification", "captioning", "vqa"]

TASKS: tuple[Task, ...] = get_args(Task)
