"""Type and shape annotations, checked while tests run; ints pass for floats as usual."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
