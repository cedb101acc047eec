//! The driver under a foreign client: quinn on the other end, an echo in place of HTTP/3.

mod echo;
mod node;

mod ending;
mod limits;
mod serving;
mod steering;
