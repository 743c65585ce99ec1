"""nanodex: one CodeExpert turns a git repository into a served domain expert."""
