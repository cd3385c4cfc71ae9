"""Pretrains an encoder from scratch on tokenised corpora."""

from runtime.pretraining.construction import Built as Built
from runtime.pretraining.construction import built as built
from runtime.pretraining.loop import pretrain as pretrain
from runtime.pretraining.probe import alignment as alignment
from runtime.pretraining.texts import Texts as Texts
from runtime.pretraining.texts import gathered as gathered
