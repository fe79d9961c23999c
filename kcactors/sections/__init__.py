"""The settings by concern: each module holds some groups, and `kcactors.settings` reads them all."""
