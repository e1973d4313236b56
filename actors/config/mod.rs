//! Settings: config files, their checks and defaults.
