"""What holds for every test."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: how long an example takes is for `make bench` to say.
settings.register_profile(
    "nanodex", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("nanodex")
