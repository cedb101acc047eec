//! Who is let in, how fast they may go, and from where: decisions about viewers that need no token.

pub mod capacity;
pub mod country;
pub mod load;
pub mod pace;
pub mod prefix;
