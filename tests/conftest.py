"""For all tests: hypothesis looks for wrong answers, not for slow ones, which a loaded machine gives at any time."""

from hypothesis import settings

settings.register_profile("segkit", deadline=None)
settings.load_profile("segkit")
