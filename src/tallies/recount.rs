//! Proving the tallies against the ballots, and mending them.
