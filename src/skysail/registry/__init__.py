"""Which models, versions and applications exist, and how one set of them becomes another without a failed request."""
