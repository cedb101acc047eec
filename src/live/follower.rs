//! One task for each playlist that is watched: it asks for it, says what it is, and keeps a live one at its edge with at
//! most one request outstanding.
