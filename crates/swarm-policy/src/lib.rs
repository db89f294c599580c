//! Lifepoints and storage policies: text to values, and what holds at an instant.
