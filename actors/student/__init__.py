"""The order: one actor a student, whose mailbox decides which of two deliveries was first."""
