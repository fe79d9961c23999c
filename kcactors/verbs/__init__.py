"""What each verb of the command line does; `kcactors.cli` only reads its words."""
