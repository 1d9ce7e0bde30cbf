"""Feedback: the ledger of decisions, what observations say of the models, and the policy states they change."""
